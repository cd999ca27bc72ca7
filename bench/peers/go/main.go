// One process of a benchmark: Go's concurrency.Mutex on etcd, `go-mutex <endpoint>,<endpoint>`.
//
// It is asked as worker.ts is, a JSON object a line: {id, job, options}; and answers {id, answer} or {id, error}. Tasks with
// names of their own share a session, as a process that locks would have it; those who want one name have one each, since
// for etcd a session is the holder. Sessions are kept from round to round.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
)

const (
	names     = 64
	warmPairs = 20000
	ttl       = 30
	// Of JSON; JavaScript reads it as Infinity.
	never = json.Number("1e999")
)

type options struct {
	WarmMs, Ms, StartAt float64
	Tasks, Count, TtlMs int
	Hold, Think         bool
}

type object = map[string]interface{}

var (
	ctx     = context.Background()
	client  *clientv3.Client
	shared  *concurrency.Session
	mine    *concurrency.Mutex
	idle    = make(chan *concurrency.Session, 1<<16)
	stood   []*turn
	served  sync.WaitGroup
	guard   sync.Mutex
	holding = map[int]float64{}
)

// When one asked, was granted (0: not yet), and let go.
type turn struct{ asked, granted, left float64 }

func main() {
	var err error
	client, err = clientv3.New(clientv3.Config{Endpoints: strings.Split(os.Args[1], ","), DialTimeout: 5 * time.Second})
	check(err)
	shared = session(ttl)
	jobs := map[string]func(options) interface{}{
		"pairs": pairs, "burst": burst, "ownNames": ownNames, "greedy": greedy, "hold": hold, "drop": drop,
		"stand": stand, "turns": turns, "keepCrowd": keepCrowd, "usage": usage,
	}
	say(object{"id": 0})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked struct {
			Id      int
			Job     string
			Options options
		}
		check(json.Unmarshal(lines.Bytes(), &asked))
		go func() {
			job, known := jobs[asked.Job]
			if !known {
				say(object{"id": asked.Id, "error": "there is no job " + asked.Job})
				return
			}
			say(object{"id": asked.Id, "answer": job(asked.Options)})
		}()
	}
}

// W1: one pair after the other.
func pairs(o options) interface{} {
	mutex := concurrency.NewMutex(shared, "/bench")
	run := func(ms float64) []float64 {
		var took []float64
		for end := now() + ms*1e6; now() < end; {
			at := now()
			pair(mutex)
			took = append(took, (now()-at)/1e3)
		}
		return took
	}
	made := warm(o.WarmMs, func(ms float64) int { return len(run(ms)) })
	before := cpu()
	took := run(o.Ms)
	used := cpu() - before
	total := 0.0
	for _, each := range took {
		total += each
	}
	sort.Float64s(took)
	count := float64(len(took))
	at := func(p float64) float64 { return took[int(count*p)] }
	return object{"p50": at(0.5), "p99": at(0.99), "rate": count / total * 1e6, "cpu": used / count, "pairs": made + len(took)}
}

// W2: 64 names at once; all are given back before all are taken again.
func burst(o options) interface{} {
	return many(o, func(mutexes []*concurrency.Mutex, ms float64) int {
		count := 0
		for end := now() + ms*1e6; now() < end; count += names {
			all(names, func(index int) { pair(mutexes[index]) })
		}
		return count
	})
}

// W2T: 64 tasks, each on a name of its own, one pair after the other.
func ownNames(o options) interface{} {
	return many(o, func(mutexes []*concurrency.Mutex, ms float64) int {
		end := now() + ms*1e6
		counts := make([]int, names)
		all(names, func(index int) {
			for ; now() < end; counts[index]++ {
				pair(mutexes[index])
			}
		})
		sum := 0
		for _, count := range counts {
			sum += count
		}
		return sum
	})
}

func many(o options, run func(mutexes []*concurrency.Mutex, ms float64) int) interface{} {
	mutexes := make([]*concurrency.Mutex, names)
	for index := range mutexes {
		mutexes[index] = concurrency.NewMutex(shared, fmt.Sprintf("/name-%d", index))
	}
	made := warm(o.WarmMs, func(ms float64) int { return run(mutexes, ms) })
	before, start := cpu(), now()
	count := run(mutexes, o.Ms)
	rate := float64(count) / (now() - start) * 1e9
	return object{"rate": rate, "cpu": (cpu() - before) / float64(count), "pairs": made + count}
}

// W3 and W3T: so many tasks here and in other processes want one name from `startAt` on.
func greedy(o options) interface{} {
	var seen [][]interface{}
	pid := os.Getpid()
	waiting := map[int]float64{}
	end := o.StartAt + (o.WarmMs+o.Ms)*1e6
	sessions := make([]*concurrency.Session, o.Tasks)
	all(o.Tasks, func(index int) { sessions[index] = take() })
	time.Sleep(time.Duration(o.StartAt - now()))
	var used float64
	time.AfterFunc(time.Duration(o.WarmMs*1e6), func() { used = cpu() })
	task := func(index int) {
		mutex := concurrency.NewMutex(sessions[index], "/hot")
		for now() < end {
			asked := now()
			guard.Lock()
			waiting[index] = asked
			guard.Unlock()
			check(mutex.Lock(ctx))
			granted := now()
			if o.Hold && rand.Intn(2) == 1 {
				time.Sleep(time.Millisecond)
			} else if o.Hold {
				runtime.Gosched()
			}
			guard.Lock()
			delete(waiting, index)
			seen = append(seen, []interface{}{pid*100 + index, asked, granted, now()})
			guard.Unlock()
			check(mutex.Unlock(ctx))
			if o.Think {
				time.Sleep(time.Duration((5 + rand.Float64()*10) * 1e6))
			}
		}
	}
	done := make(chan bool)
	go func() {
		all(o.Tasks, task)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Duration((o.WarmMs + o.Ms + 300) * 1e6)):
	}
	guard.Lock()
	defer guard.Unlock()
	for index, asked := range waiting {
		seen = append(seen, []interface{}{pid*100 + index, asked, never, never})
	}
	return object{"turns": seen, "cpu": cpu() - used}
}

func hold(options) interface{} {
	mine = concurrency.NewMutex(shared, "/crowd")
	check(mine.Lock(ctx))
	return now()
}

// W7: with a session of its own, so short.
func keepCrowd(o options) interface{} {
	mine = concurrency.NewMutex(session(o.TtlMs/1000), "/crowd")
	check(mine.Lock(ctx))
	return now()
}

func drop(options) interface{} {
	at := now()
	check(mine.Unlock(ctx))
	return at
}

// Hand-over: so many ask, one after the other. Each lets go as soon as it holds.
func stand(o options) interface{} {
	stood = make([]*turn, o.Count)
	sessions := make([]*concurrency.Session, o.Count)
	all(o.Count, func(index int) { sessions[index] = take() })
	served.Add(o.Count)
	for index := range stood {
		mine, own := &turn{asked: now()}, sessions[index]
		stood[index] = mine
		go func() {
			mutex := concurrency.NewMutex(own, "/crowd")
			check(mutex.Lock(ctx))
			granted := now()
			guard.Lock()
			mine.granted, mine.left = granted, now()
			guard.Unlock()
			check(mutex.Unlock(ctx))
			idle <- own
			served.Done()
		}()
	}
	return nil
}

// When each was served.
func turns(o options) interface{} {
	done := make(chan bool)
	go func() {
		served.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Duration(o.Ms * 1e6)):
	}
	guard.Lock()
	defer guard.Unlock()
	answer := make([]object, len(stood))
	for index, each := range stood {
		answer[index] = object{"asked": each.asked, "granted": each.granted, "left": each.left}
		if each.granted == 0 {
			answer[index]["granted"], answer[index]["left"] = never, never
		}
	}
	return answer
}

func usage(options) interface{} {
	return object{"cpu": object{"user": cpu(), "system": 0}, "rss": rss(), "requests": 0, "renewals": 0, "writes": 0}
}

func pair(mutex *concurrency.Mutex) {
	check(mutex.Lock(ctx))
	check(mutex.Unlock(ctx))
}

// Make pairs until they can be measured, as worker.ts does.
func warm(ms float64, run func(ms float64) int) int {
	start := now()
	made := run(ms)
	for made < warmPairs && now()-start < 3*ms*1e6 {
		made += run(ms / 4)
	}
	return made
}

func all(count int, each func(index int)) {
	var group sync.WaitGroup
	group.Add(count)
	for index := 0; index < count; index++ {
		go func(index int) {
			each(index)
			group.Done()
		}(index)
	}
	group.Wait()
}

// A session that nobody uses.
func take() *concurrency.Session {
	select {
	case own := <-idle:
		return own
	default:
		return session(ttl)
	}
}

func session(seconds int) *concurrency.Session {
	own, err := concurrency.NewSession(client, concurrency.WithTTL(seconds))
	check(err)
	return own
}

// Nanoseconds of the clock that all processes of the machine share.
func now() float64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return float64(at.Nano())
}

// Microseconds.
func cpu() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}

// Bytes.
func rss() int {
	var size, pages int
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	fmt.Sscan(string(text), &size, &pages)
	return pages * os.Getpagesize()
}

var out sync.Mutex

func say(answer object) {
	line, err := json.Marshal(answer)
	check(err)
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
