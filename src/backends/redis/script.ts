/**
 * The queue of `memory:`, as a script that the server runs: any number of verbs about any number of names, in order, at
 * one reading of the server's clock. `src/queue/table.ts` says why each verb does what it does; here it is said how.
 *
 * Four keys a name (`keys.ts`), all under one hash tag:
 * - *head*: a string; what is known of the queue as a whole. While nobody or a single holder is in it, which is the usual
 *   case, it says that as well, and there is nothing else: one read and one write a verb. When a second one comes, the
 *   queue is *crowded*, and stays so until it is empty:
 * - *order*: a sorted set of the owner tokens by fence. Those that hold are a prefix of it.
 * - *ends*: a sorted set of the owner tokens by when their leases end.
 * - *seats*: a hash of what else is known of each.
 *
 * No verb costs more than the logarithm of the length of a queue, but for those that end many entries at once. Times are
 * microseconds of the server's wall clock. All keys expire: a name that nobody uses is forgotten SLACK after its last lease,
 * or twice that, and until then a clock that is set back cannot make a fence go back.
 *
 * Making a function or a table costs the server as much as a command, so what only a crowd or a batch needs is made when
 * there is one, and what a batch asks for is one flat list. What only a crowd has to know of the terms of an entry stays text
 * until there is one. Writing into a string costs a third of what a new one with an expiry costs, so a head is written into
 * where its key lasts long enough, and is given SPARE more than it needs whenever it does not.
 */
import { CROWDS } from './crowd.ts'
import {
  ALONE,
  BACK,
  CROWDED,
  ENDS_AT,
  EXPIRES_AT,
  FORMAT,
  FREE,
  FRONT,
  HEAD,
  LAST_AT,
  MODE_AT,
  SLACK,
  SPARE,
} from './head.ts'
import { MEMORY } from './memory.ts'

const QUEUE: string = String.raw`
-- KEYS: four a name, and one more of a node, whose ARGV ends with what it has to know. ARGV: either one verb, with whom it is
-- about and its arguments; or many, as a list in JSON, five places a verb: its word, where the keys of its name begin, whom it is
-- about, and two arguments. The terms of a join stand in three places of ARGV, after the list, and the join says where. Of any name
-- the head alone may be in KEYS: where it takes more, nothing is done.
-- Or, with the heads alone in KEYS, the word renewEach, a ttl, and two lists in JSON: of an owner token for each, and of a fence.
-- What now holds with that fence is not answered; of the others, one after the other, which they are, and what would have been.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local call, put, get = redis.call, struct.pack, struct.unpack
local memory

-- A verb about a queue with one entry at most. Without an answer, it takes more than that; then with the head as it is.
-- What it is asked may come as numbers, or as text.
local function alone(head, raw, verb, subject, x, y)
  raw = raw or call('GET', head)
  local mode, last, followed, expires = ${FREE}, 0, 0, 0
  local ends, delay, id, rest
  if raw then
    if string.byte(raw) ~= ${FORMAT} then error('HOLDFASTVERSION ' .. tostring(string.byte(raw))) end
    mode, last, followed, expires, rest = get('>${HEAD}', raw, 2)
    if mode == ${CROWDED} then return nil, raw end
    if mode == ${ALONE} then
      ends, delay, id, rest = get('>${FRONT}', raw, rest)
      if ends <= now then
        if delay > 0 then return nil, raw end
        mode = ${FREE}
      end
    end
  end
  local mine = mode == ${ALONE} and id == subject
  if verb == 'join' then
    if mine then return { 'held', last, ends - now } end
    if mode == ${ALONE} then
      -- A try that finds no room changes nothing.
      local _, _, _, others = get('>${BACK}', raw, rest)
      local theirs, ours = cjson.decode(others), cjson.decode(ARGV[y + 2])
      if ours[4] == 0 and theirs[2] == ours[2] and theirs[1] + ours[1] > ours[2] then
        return { 'refused', 'held', ends + delay - now, theirs[2], theirs[7] }
      end
      return nil, raw
    end
    local ttl, others = ARGV[y] + 0, ARGV[y + 2]
    last, ends, delay = memory and memory.mint(last) or math.max(last + 1, now), now + ttl, ARGV[y + 1] + 0
    local lasting = math.max(ends + delay + ${SLACK}, followed)
    local stays = lasting <= expires
    if not stays then expires = lasting + ${SPARE} end
    local text = put('>B${HEAD}${FRONT}${BACK}', ${FORMAT}, ${ALONE}, last, followed, expires, ends, delay, #subject, subject,
      now, ttl, #x, x, #others, others)
    if stays then
      call('SETRANGE', head, '0', text)
    else
      call('SET', head, text, 'PX', math.ceil((expires - now) / 1000))
    end
    if followed > now then call('PUBLISH', head, '') end
    return last
  elseif verb == 'renew' then
    if not mine then return { 'lost' } end
    local later = now + x
    -- A request that was sent earlier can land later, so a lease is never made shorter.
    if later < ends then return { 'held', last, ends - now } end
    local lasting = later + delay + ${SLACK}
    if lasting <= expires then
      call('SETRANGE', head, '${ENDS_AT}', put('>d', later))
    else
      expires = lasting + ${SPARE}
      call('SETRANGE', head, '${EXPIRES_AT}', put('>dd', expires, later))
      call('PEXPIRE', head, math.ceil((expires - now) / 1000))
    end
    return last
  elseif verb == 'confirm' then
    if not mine or (last ~= y and last ~= x) then return { 'lost' } end
    call('SETRANGE', head, '${LAST_AT}', put('>d', x))
    return { 'held', x, ends - now }
  elseif verb == 'leave' then
    if not mine then return 0 end
    if x + 0 > 0 then return nil, raw end
    local lasting = math.max(math.max(now, last) + ${SLACK}, followed)
    if lasting <= expires and expires - lasting <= ${SLACK} then
      -- The key lasts long enough as it is, and not for much longer: one byte is enough, the mode.
      call('SETRANGE', head, '${MODE_AT}', string.char(${FREE}))
    else
      call('SET', head, put('>B${HEAD}', ${FORMAT}, ${FREE}, last, followed, lasting), 'PX', math.ceil((lasting - now) / 1000))
    end
    if followed > now then call('PUBLISH', head, '') end
    return 1
  elseif verb == 'look' then
    if mode == ${FREE} then return { 0, 0, {} } end
    local joined, _, _, others = get('>${BACK}', raw, rest)
    local weight, capacity, _, _, _, _, info = unpack(cjson.decode(others))
    return { capacity, 1, { { last, weight, now - joined, now - joined, ends + delay - now, 0, info } } }
  end
  return nil, raw
end

${MEMORY}
${CROWDS}
local function carryOutOne()
  local verb, subject, x, y = ARGV[1], ARGV[2], ARGV[3], 4
  if verb == 'confirm' then x, y = tonumber(x), tonumber(ARGV[4]) end
  local answer, raw
  if memory then answer, verb, x = memory.answer(verb, subject, x) end
  if not answer then answer, raw = alone(KEYS[1], nil, verb, subject, x, y) end
  if answer then return answer end
  if verb ~= 'join' and verb ~= 'describe' then x = tonumber(x) end
  local load, save, carryOut = makeCrowd()
  local q = load(1, raw)
  answer = carryOut(q, verb, subject, x, y)
  save(q)
  return answer
end

if string.byte(ARGV[1]) ~= 91 and ARGV[1] ~= 'renewEach' then
  if not memory then return carryOutOne() end
  local done, answer = pcall(carryOutOne)
  memory.save()
  if not done then error(answer, 0) end
  return answer
end

local asked, fences
if ARGV[1] == 'renewEach' then
  local ttl, ids = tonumber(ARGV[2]), cjson.decode(ARGV[3])
  asked, fences = {}, cjson.decode(ARGV[4])
  for place, id in ipairs(ids) do
    local at = place * 5
    asked[at - 4], asked[at - 3], asked[at - 2], asked[at - 1], asked[at] = 'renew', place, id, ttl, 0
  end
else
  asked = cjson.decode(ARGV[1])
end
-- What lies in the heads at first, in one command; whoever looks at one takes it from here.
local heads, raws = {}, {}
for at = 2, #asked, 5 do heads[#heads + 1] = KEYS[asked[at]] end
for place, raw in ipairs(call('MGET', unpack(heads))) do raws[heads[place]] = raw end
local queues, broken, answers = {}, {}, {}
-- In place of a queue that takes more keys than were given: of its name nothing more is done.
local short = {}
local load, save, carryOutInCrowd

local function carryOut(head, first, verb, subject, x, y)
  if memory then
    local answer
    answer, verb, x = memory.answer(verb, subject, x)
    if answer then return answer end
  end
  local q = queues[head]
  if not q then
    local raw = raws[head]
    raws[head] = nil
    local answer
    answer, raw = alone(head, raw, verb, subject, x, y)
    if answer then return answer end
    if KEYS[first + 1] == head .. ':order' then
      if not load then load, save, carryOutInCrowd = makeCrowd() end
      q = load(first, raw)
    else
      q = short
    end
    queues[head] = q
  end
  if q == short then return { 'crowded' } end
  return carryOutInCrowd(q, verb, subject, x, y)
end

local place = 0

local function carryOutAll()
  while place < #heads do
    place = place + 1
    local head, at = heads[place], place * 5
    if not broken[head] then
      answers[place] = carryOut(head, asked[at - 3], asked[at - 4], asked[at - 2], asked[at - 1], asked[at])
    end
  end
end

local function breakName(head, reason)
  broken[head] = type(reason) == 'table' and reason.err or tostring(reason)
  queues[head] = nil
end

while place < #heads do
  local done, reason = pcall(carryOutAll)
  if not done then breakName(heads[place], reason) end
end
for head, q in pairs(queues) do
  if q ~= short then
    local done, reason = pcall(save, q)
    if not done then breakName(head, reason) end
  end
end
if memory then memory.save() end
-- Where anything went wrong, nobody knows what became of any verb of that name.
for place, head in ipairs(heads) do
  if broken[head] then answers[place] = { 'error', broken[head] } end
end
if not fences then return answers end
local others = {}
for place, answer in ipairs(answers) do
  if answer ~= fences[place] then
    others[#others + 1] = place
    others[#others + 1] = answer
  end
end
return others
`

export default QUEUE
