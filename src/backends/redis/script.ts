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
 * there is one. Writing into a string costs a third of what a new one with an expiry costs, so a head is written into
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
-- KEYS: four a name, and one more of a node, whose ARGV ends with what it has to know. ARGV: either one verb, with its
-- name's number, which is 1, and its arguments; or many, as a list in JSON, and then the terms of joins, each a list in
-- JSON, to which they refer by their places in ARGV.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local call, put, get = redis.call, struct.pack, struct.unpack

${MEMORY}
-- A verb about a queue with one entry at most. Without an answer, it takes more than that; then with the head as it is.
-- What it is asked may come as numbers, or as text. A join's terms stand in a list, behind a place.
local function alone(head, asked, terms, at)
  local verb = asked[1]
  local raw = call('GET', head)
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
  local mine = mode == ${ALONE} and id == asked[3]
  if verb == 'join' then
    if mine then return { 'held', last, ends - now } end
    if mode == ${ALONE} then
      -- A try that finds no room changes nothing.
      local capacity, weight, _, _, _, _, _, info = get('>${BACK}', raw, rest)
      if terms[at + 5] + 0 == 0 and terms[at + 2] + 0 == capacity and weight + terms[at + 1] > capacity then
        return { 'refused', 'held', ends + delay - now, capacity, info }
      end
      return nil, raw
    end
    local weight, capacity, ttl = terms[at + 1] + 0, terms[at + 2] + 0, terms[at + 3] + 0
    if weight > capacity then return { 'refused', 'capacity', -1, capacity, '' } end
    last, ends, delay = memory and memory.mint(last) or math.max(last + 1, now), now + ttl, terms[at + 7] + 0
    local lasting = math.max(ends + delay + ${SLACK}, followed)
    local stays = lasting <= expires
    if not stays then expires = lasting + ${SPARE} end
    local id, tag, inbox, info = asked[3], asked[4], terms[at + 8], terms[at + 9]
    local text = put('>B${HEAD}${FRONT}${BACK}', ${FORMAT}, ${ALONE}, last, followed, expires, ends, delay, #id, id,
      capacity, weight, ttl, terms[at + 4] + 0, now, #tag, tag, #inbox, inbox, #info, info)
    if stays then
      call('SETRANGE', head, '0', text)
    else
      call('SET', head, text, 'PX', math.ceil((expires - now) / 1000))
    end
    if followed > now then call('PUBLISH', head, '') end
    return last
  elseif verb == 'renew' then
    if not mine then return { 'lost' } end
    local later = now + asked[4]
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
    if not mine or (last ~= asked[5] and last ~= asked[4]) then return { 'lost' } end
    call('SETRANGE', head, '${LAST_AT}', put('>d', asked[4]))
    return { 'held', asked[4], ends - now }
  elseif verb == 'leave' then
    if not mine then return 0 end
    if asked[4] + 0 > 0 then return nil, raw end
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
    local capacity, weight, _, _, joined, _, _, info = get('>${BACK}', raw, rest)
    return { capacity, 1, { { last, weight, now - joined, now - joined, ends + delay - now, 0, info } } }
  end
  return nil, raw
end

local single = string.byte(ARGV[1]) ~= 91
local answer, head
if single then
  answer, head = alone(KEYS[1], ARGV, ARGV, 4)
  if answer then return answer end
end

${CROWDS}
local allAsked
local queues, broken, answers = {}, {}, {}
local load, save, carryOutInCrowd
if single then
  local asked = { ARGV[1], 1, ARGV[3], ARGV[4], ARGV[5] }
  if asked[1] == 'join' then
    asked.terms = { unpack(ARGV, 5) }
    for place = 1, 7 do asked.terms[place] = tonumber(asked.terms[place]) end
  elseif asked[1] ~= 'describe' then
    asked[4], asked[5] = tonumber(ARGV[4]), tonumber(ARGV[5])
  end
  allAsked = { asked }
  load, save, carryOutInCrowd = makeCrowd()
  queues[1] = load(1, head)
else
  allAsked = cjson.decode(ARGV[1])
  local terms = {}
  for _, asked in ipairs(allAsked) do
    local verb, place = asked[1], asked[5]
    if verb == 'join' or verb == 'seed' then
      terms[place] = terms[place] or cjson.decode(ARGV[place])
      asked.terms = terms[place]
    end
  end
end

local function carryOut(asked)
  local name = asked[2]
  local answer, raw
  if memory then answer = memory.answer(asked) end
  if answer then return answer end
  if not queues[name] then
    local first = name * 4 - 3
    answer, raw = alone(KEYS[first], asked, asked.terms, 0)
    if answer then return answer end
    if not load then load, save, carryOutInCrowd = makeCrowd() end
    queues[name] = load(first, raw)
  end
  return carryOutInCrowd(queues[name], asked)
end

local place, count = 0, #allAsked

local function carryOutAll()
  while place < count do
    place = place + 1
    local asked = allAsked[place]
    if not broken[asked[2]] then answers[place] = carryOut(asked) end
  end
end

local function breakName(name, reason)
  broken[name] = type(reason) == 'table' and reason.err or tostring(reason)
  queues[name] = nil
end

while place < count do
  local done, reason = pcall(carryOutAll)
  if not done then breakName(allAsked[place][2], reason) end
end
for name, q in pairs(queues) do
  local done, reason = pcall(save, q)
  if not done then breakName(name, reason) end
end
if memory then memory.save() end
-- Where anything went wrong, nobody knows what became of any verb of that name.
for name, reason in pairs(broken) do
  for place, asked in ipairs(allAsked) do
    if asked[2] == name then answers[place] = { 'error', reason } end
  end
end
return single and answers[1] or answers
`

export default QUEUE
