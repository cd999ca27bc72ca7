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
 * there is one.
 */
const SLACK = 60_000_000
const FORMAT = 1
const [FREE, ALONE, CROWDED] = [0, 1, 2]
/** Whoever is first in line hears when the first of the holders ends; of so many holders at most. */
const HOLDERS_LOOKED_AT = 100

const QUEUE: string = String.raw`
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local call, pack, unpackAll = redis.call, cmsgpack.pack, cmsgpack.unpack

-- What a node of a quorum knows of itself, under a key that never expires. It has forgotten when the key is gone, or
-- when the server is another run of itself and nobody vouches that it keeps all it has answered.
local memory
if #KEYS % 4 == 1 then
  local longest, durable = unpack(cjson.decode(ARGV[#ARGV]))
  local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
  memory = { key = KEYS[#KEYS], top = 0, longest = longest }
  local raw = call('GET', memory.key)
  if raw then
    local format, waits
    format, memory.run, memory.since, memory.admitted, memory.top, waits = unpackAll(raw)
    if format ~= ${FORMAT} then error('HOLDFASTVERSION ' .. tostring(format)) end
    memory.longest = math.max(longest, waits)
  end
  if not raw or (memory.run ~= run and durable == 0) then
    memory.run, memory.since, memory.admitted, memory.dirty = run, now, durable, true
  end
  if memory.admitted == 0 then memory.quarantine = math.max(0, memory.since + memory.longest - now) end

  local function raise(top)
    if top > memory.top then memory.top, memory.dirty = top, true end
  end

  -- The fences of a node are larger than all it knows of, whatever their names; but for one that was drawn elsewhere.
  function memory.mint(last)
    local fence = memory.given or math.max(last + 1, now, memory.top + 1)
    raise(fence)
    return fence
  end

  -- What the node has to say before its queues are asked.
  function memory.answer(asked)
    local verb = asked[1]
    local incarnation = string.format('%s:%.0f', memory.run, memory.since)
    memory.given = nil
    if verb == 'recall' then
      return { incarnation, memory.top, memory.quarantine or -1 }
    elseif verb == 'admit' then
      if asked[3] ~= incarnation or (memory.quarantine and memory.quarantine > 0) then return 0 end
      raise(asked[4])
      memory.admitted, memory.quarantine, memory.dirty = 1, nil, true
      return 1
    elseif verb == 'seed' then
      asked[1], asked[9], memory.given = 'join', -1, asked[9]
    elseif memory.quarantine and verb == 'join' then
      return { 'refused', 'quarantine', memory.quarantine, 0, '' }
    elseif memory.quarantine and verb == 'confirm' then
      return { 'lost' }
    elseif verb == 'confirm' then
      raise(asked[4])
    end
  end
end

-- A verb about a queue with one entry at most. Without an answer, it takes more than that; then with the head as it is.
-- What it is asked may come as numbers, or as text.
-- Of the head, it looks at what stands before the seat's weight; what stands behind is kept as it is.
local function alone(head, asked)
  local verb = asked[1]
  local raw = call('GET', head)
  local mode, last, followed = ${FREE}, 0, 0
  local offset, format, capacity, id, ends, delay
  if raw then
    offset, format, mode, last, followed, capacity, id, ends, delay = cmsgpack.unpack_limit(raw, 8, 0)
    if format ~= ${FORMAT} then error('HOLDFASTVERSION ' .. tostring(format)) end
    if mode == ${CROWDED} then return nil, raw end
    if mode == ${ALONE} and ends <= now then
      if delay > 0 then return nil, raw end
      mode = ${FREE}
    end
  end
  local mine = mode == ${ALONE} and id == asked[3]
  local seat, answer
  if verb == 'join' then
    if mine then return { 'held', last, ends - now } end
    if mode == ${ALONE} then
      local _, weight, _, _, _, _, _, info = cmsgpack.unpack_limit(raw, 7, offset)
      -- A try that finds no room changes nothing.
      if asked[8] + 0 == 0 and asked[5] + 0 == capacity and weight + asked[4] > capacity then
        return { 'refused', 'held', ends + delay - now, capacity, info }
      end
      return nil, raw
    end
    local weight, ttl = asked[4] + 0, asked[6] + 0
    id, capacity, delay = asked[3], asked[5] + 0, asked[10] + 0
    if weight > capacity then return { 'refused', 'capacity', -1, capacity, '' } end
    last, ends = memory and memory.mint(last) or math.max(last + 1, now), now + ttl
    seat = pack(weight, ttl, asked[7] + 0, now, asked[11], asked[12], asked[13])
  elseif verb == 'renew' then
    if not mine then return { 'lost' } end
    local later = now + asked[4]
    -- A request that was sent earlier can land later, so a lease is never made shorter.
    if later < ends then return { 'held', last, ends - now } end
    ends, seat = later, string.sub(raw, offset + 1)
  elseif verb == 'confirm' then
    if not mine or (last ~= asked[5] and last ~= asked[4]) then return { 'lost' } end
    last, seat = asked[4], string.sub(raw, offset + 1)
    answer = { 'held', last, ends - now }
  elseif verb == 'leave' then
    if not mine then return 0 end
    if asked[4] + 0 > 0 then return nil, raw end
    if last <= ends and ends - now <= ${SLACK} then
      -- The key lasts long enough as it is, and twice as long at most. So one byte is enough, the mode: half the work.
      call('SETRANGE', head, 1, '\0')
    else
      call('SET', head, pack(${FORMAT}, ${FREE}, last, followed), 'PX',
        math.ceil((math.max(math.max(now, last) + ${SLACK}, followed) - now) / 1000))
    end
    if followed > now then call('PUBLISH', head, '') end
    return 1
  elseif verb == 'look' then
    if mode == ${FREE} then return { 0, 0, {} } end
    local _, weight, _, _, joined, _, _, info = cmsgpack.unpack_limit(raw, 7, offset)
    return { capacity, 1, { { last, weight, now - joined, now - joined, ends + delay - now, 0, info } } }
  else
    return nil, raw
  end
  call('SET', head, pack(${FORMAT}, ${ALONE}, last, followed, capacity, id, ends, delay) .. seat, 'PX',
    math.ceil((math.max(ends + delay + ${SLACK}, followed) - now) / 1000))
  if verb == 'join' and followed > now then call('PUBLISH', head, '') end
  return answer or last
end

-- Crowds -----------------------------------------------------------------------------------------------------------

local function makeCrowd()

local function packSeat(seat)
  return pack(seat.fence, seat.weight, seat.ttl, seat.waitTtl, seat.delay, seat.joined, seat.held, seat.lingering,
    seat.inbox, seat.tag, seat.info)
end

local function find(q, id)
  if q.count == 0 then return nil end
  local raw = call('HGET', q.seats, id)
  if not raw then return nil end
  local fence, weight, ttl, waitTtl, delay, joined, held, lingering, inbox, tag, info = unpackAll(raw)
  return { id = id, fence = fence, weight = weight, ttl = ttl, waitTtl = waitTtl, delay = delay, joined = joined,
    held = held, lingering = lingering, inbox = inbox, tag = tag, info = info }
end

-- When the lease of a seat ends is looked up where that matters: a release has no need of it.
local function endsAt(q, seat)
  if not seat.ends then seat.ends = tonumber(call('ZSCORE', q.ends, seat.id)) end
  return seat.ends
end

local function at(q, rank)
  return find(q, call('ZRANGE', q.order, rank, rank)[1])
end

-- All keys of a queue live longer than its seats. Rarely: for a ttl more than is needed now.
local function outlive(q, seat)
  local expires = seat.ends + seat.delay + ${SLACK}
  if expires <= q.expires then return end
  q.expires = expires + math.max(seat.ttl, seat.waitTtl)
  q.dirty = true
  for _, key in ipairs({ q.order, q.ends, q.seats }) do call('PEXPIRE', key, math.ceil((q.expires - now) / 1000)) end
end

local function write(q, seat)
  call('HSET', q.seats, seat.id, packSeat(seat))
end

local function writeEnd(q, seat, ends)
  seat.ends = ends
  call('ZADD', q.ends, ends, seat.id)
  if ends < q.earliest then q.earliest, q.dirty = ends, true end
  outlive(q, seat)
end

local function insert(q, seat)
  call('ZADD', q.order, seat.fence, seat.id)
  write(q, seat)
  writeEnd(q, seat, seat.ends)
end

local function take(q, seat)
  call('ZREM', q.order, seat.id)
  call('ZREM', q.ends, seat.id)
  call('HDEL', q.seats, seat.id)
  -- With the last one the keys are gone, and what is put in next makes new ones.
  if q.count == 1 then q.expires = 0 end
end

local function load(first, raw)
  local q = { head = KEYS[first], order = KEYS[first + 1], ends = KEYS[first + 2], seats = KEYS[first + 3],
    last = 0, capacity = 0, count = 0, holders = 0, weight = 0, earliest = math.huge, expires = 0,
    followed = 0, dirty = false, changed = false, granted = {} }
  if not raw then return q end
  local format, mode, last, followed, capacity = unpackAll(raw)
  if format ~= ${FORMAT} then error('HOLDFASTVERSION ' .. tostring(format)) end
  q.last, q.followed, q.capacity = last, followed, capacity
  if mode == ${ALONE} then
    local _, _, _, _, _, id, ends, delay, weight, ttl, waitTtl, joined, tag, inbox, info = unpackAll(raw)
    q.count, q.holders, q.weight, q.dirty = 1, 1, weight, true
    call('DEL', q.order, q.ends, q.seats)
    insert(q, { id = id, ends = ends, fence = last, weight = weight, ttl = ttl, waitTtl = waitTtl, delay = delay,
      joined = joined, held = joined, lingering = 0, inbox = inbox, tag = tag, info = info })
  elseif mode == ${CROWDED} then
    local _, _, _, _, _, count, holders, weight, earliest, expires = unpackAll(raw)
    q.count, q.holders, q.weight, q.earliest, q.expires = count, holders, weight, earliest, expires
    if call('ZCARD', q.order) ~= q.count then
      -- The server forgot a part of it: whoever was in there is told so by the next renewal.
      call('DEL', q.order, q.ends, q.seats)
      q.count, q.holders, q.weight, q.earliest, q.dirty, q.changed = 0, 0, 0, math.huge, true, true
    end
  end
  return q
end

local function wake(seat, held)
  if seat.inbox == '' then return end
  call('PUBLISH', seat.inbox, held and string.format('%s %.0f', seat.tag, seat.fence) or seat.tag)
end

local function save(q)
  if q.dirty then
    if q.count == 0 then
      local lasting = math.max(math.max(now, q.last) + ${SLACK}, q.followed) - now
      call('SET', q.head, pack(${FORMAT}, ${FREE}, q.last, q.followed), 'PX', math.ceil(lasting / 1000))
    else
      call('SET', q.head, pack(${FORMAT}, ${CROWDED}, q.last, q.followed, q.capacity, q.count, q.holders, q.weight, q.earliest,
        q.expires), 'PX', math.ceil((math.max(q.expires, q.followed) - now) / 1000))
    end
  end
  for _, seat in pairs(q.granted) do wake(seat, true) end
  if q.changed and q.followed > now then call('PUBLISH', q.head, '') end
end

-- Whoever fits now holds now, and is told so in the end, if it is still there.
local function grant(q)
  while q.holders < q.count and q.weight < q.capacity do
    local seat = at(q, q.holders)
    if q.weight + seat.weight > q.capacity then return end
    seat.held = now
    q.holders = q.holders + 1
    q.weight = q.weight + seat.weight
    q.changed, q.dirty = true, true
    write(q, seat)
    q.granted[seat.id] = seat
  end
end

local function forget(q, seat)
  take(q, seat)
  q.granted[seat.id] = nil
  q.count = q.count - 1
  q.dirty = true
  if seat.held > 0 then
    q.holders = q.holders - 1
    q.weight = q.weight - seat.weight
    q.changed = true
  end
end

-- From now on it is nobody's; it keeps its place, under a token that nobody has.
local function linger(q, seat, ends)
  take(q, seat)
  seat.id, seat.lingering, seat.inbox, seat.ends = string.format('lingers:%.0f', seat.fence), 1, '', ends
  q.dirty = true
  insert(q, seat)
end

local function prune(q)
  if q.count == 0 or now < q.earliest then return end
  for _, id in ipairs(call('ZRANGEBYSCORE', q.ends, '-inf', now)) do
    local seat = find(q, id)
    -- An unclean end of a holder owes the lock delay, counted from that end.
    if seat.held > 0 and seat.lingering == 0 then linger(q, seat, endsAt(q, seat) + seat.delay) end
    if endsAt(q, seat) <= now then forget(q, seat) end
  end
  grant(q)
  q.earliest = tonumber(call('ZRANGE', q.ends, 0, 0, 'WITHSCORES')[2]) or math.huge
  q.dirty = true
end

-- When a seat is gone if nothing more is heard of it.
local function endOf(q, seat)
  return endsAt(q, seat) + (seat.held > 0 and seat.lingering == 0 and seat.delay or 0)
end

local function firstEnd(q)
  local first = math.huge
  for _, id in ipairs(call('ZRANGE', q.order, 0, math.min(q.holders, ${HOLDERS_LOOKED_AT}) - 1)) do
    first = math.min(first, endOf(q, find(q, id)))
  end
  return first
end

local function standing(q, seat)
  local ttl = endsAt(q, seat) - now
  if seat.held > 0 then return { 'held', seat.fence, ttl } end
  local ahead = call('ZRANK', q.order, seat.id)
  -- Only the first waiter has a date: if all had it, an expiry would make all of them ask at once.
  return { 'waiting', seat.fence, ttl, ahead, ahead == q.holders and firstEnd(q) - now or ttl }
end

local function refused(q, reason)
  return { 'refused', reason, firstEnd(q) - now, q.capacity, at(q, 0).info }
end

local verbs = {}

function verbs.join(q, id, weight, capacity, ttl, waitTtl, patient, waitersMax, delay, tag, inbox, info)
  local known = find(q, id)
  if known then return standing(q, known) end
  if q.count > 0 then
    if q.capacity ~= capacity then return refused(q, 'capacity') end
    if q.holders < q.count or q.weight + weight > q.capacity then
      if patient == 0 then return refused(q, 'held') end
      if waitersMax >= 0 and q.count - q.holders >= waitersMax then return refused(q, 'full') end
    end
  end
  if weight > capacity then return { 'refused', 'capacity', -1, capacity, '' } end
  q.capacity = capacity
  q.last = memory and memory.mint(q.last) or math.max(q.last + 1, now)
  local fits = q.holders == q.count and q.weight + weight <= q.capacity
  local seat = { id = id, ends = now + (fits and ttl or math.min(ttl, waitTtl)), fence = q.last, weight = weight,
    ttl = ttl, waitTtl = waitTtl, delay = delay, joined = now, held = fits and now or 0, lingering = 0,
    inbox = inbox, tag = tag, info = info }
  q.count = q.count + 1
  if fits then
    q.holders = q.holders + 1
    q.weight = q.weight + weight
    q.changed = true
  end
  q.dirty = true
  insert(q, seat)
  return standing(q, seat)
end

function verbs.renew(q, id, ttl)
  local seat = find(q, id)
  if not seat then return { 'lost' } end
  local ends = now + (seat.held > 0 and ttl or math.min(ttl, seat.waitTtl))
  if ends > endsAt(q, seat) then writeEnd(q, seat, ends) end
  return standing(q, seat)
end

function verbs.confirm(q, id, fence, drawn)
  local seat = find(q, id)
  if not seat or q.count > 1 or (seat.fence ~= drawn and seat.fence ~= fence) then return { 'lost' } end
  seat.fence = fence
  q.last, q.dirty = fence, true
  call('ZADD', q.order, fence, id)
  write(q, seat)
  return standing(q, seat)
end

function verbs.leave(q, id, lingering)
  local seat = find(q, id)
  if not seat then return 0 end
  if lingering > 0 and seat.held > 0 then
    linger(q, seat, now + lingering)
    -- The first waiter sleeps until the end that it was told, and that has come closer.
    if q.holders < q.count then wake(at(q, q.holders), false) end
  else
    forget(q, seat)
    grant(q)
  end
  return 1
end

function verbs.lighten(q, id, weight)
  local seat = find(q, id)
  if not seat then return { 'lost' } end
  if seat.held > 0 and weight < seat.weight then
    q.weight = q.weight - seat.weight + weight
    q.dirty = true
    seat.weight = weight
    write(q, seat)
    grant(q)
  end
  return standing(q, seat)
end

function verbs.describe(q, id, info)
  local seat = find(q, id)
  if not seat then return 0 end
  seat.info = info
  write(q, seat)
  if seat.held > 0 then q.changed = true end
  return 1
end

function verbs.evict(q, fence)
  local id = q.count > 0 and call('ZRANGEBYSCORE', q.order, fence, fence)[1]
  if not id then return 0 end
  forget(q, find(q, id))
  grant(q)
  return 1
end

-- For so long, say on the channel of the name when its holders change.
function verbs.follow(q, lasting)
  q.followed = math.max(q.followed, now + lasting)
  q.dirty = true
  return 1
end

function verbs.look(q)
  local entries = {}
  for place, id in ipairs(call('ZRANGE', q.order, 0, -1)) do
    local seat = find(q, id)
    entries[place] = { seat.fence, seat.weight, now - seat.joined, seat.held > 0 and now - seat.held or -1,
      endOf(q, seat) - now, seat.lingering, seat.info }
  end
  return { q.capacity, q.holders, entries }
end

return { load = load, save = save, carryOut = function(q, asked)
  prune(q)
  return verbs[asked[1]](q, unpack(asked, 3))
end }

end

-- KEYS: four a name, and one more of a node, whose ARGV ends with what it has to know. ARGV: either one verb, with its name's number, which is 1, and its arguments; or many, as a list in
-- JSON, and then the texts to which joins refer by their places in ARGV.

local allAsked, head
local single = string.byte(ARGV[1]) ~= 91
if single then
  local answer, raw = alone(KEYS[1], ARGV)
  if answer then return answer end
  local asked = { ARGV[1], 1, unpack(ARGV, 3) }
  if asked[1] ~= 'describe' then
    -- All but owner token, tag, inbox and info.
    for place = 4, math.min(#asked, 10) do asked[place] = tonumber(asked[place]) end
  end
  allAsked, head = { asked }, raw
else
  allAsked = cjson.decode(ARGV[1])
  for _, asked in ipairs(allAsked) do
    if asked[1] == 'join' or asked[1] == 'seed' then asked[12], asked[13] = ARGV[asked[12]], ARGV[asked[13]] end
  end
end

local queues, broken, answers = {}, {}, {}
local crowd
if single then
  crowd = makeCrowd()
  queues[1] = crowd.load(1, head)
end

local function carryOut(asked)
  local name = asked[2]
  local answer, raw
  if memory then answer = memory.answer(asked) end
  if answer then return answer end
  if not queues[name] then
    local first = name * 4 - 3
    answer, raw = alone(KEYS[first], asked)
    if answer then return answer end
    crowd = crowd or makeCrowd()
    queues[name] = crowd.load(first, raw)
  end
  return crowd.carryOut(queues[name], asked)
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
  local done, reason = pcall(crowd.save, q)
  if not done then breakName(name, reason) end
end
if memory and memory.dirty then
  call('SET', memory.key, pack(${FORMAT}, memory.run, memory.since, memory.admitted, memory.top, memory.longest))
end
-- Where anything went wrong, nobody knows what became of any verb of that name.
for name, reason in pairs(broken) do
  for place, asked in ipairs(allAsked) do
    if asked[2] == name then answers[place] = { 'error', reason } end
  end
end
return single and answers[1] or answers
`

export default QUEUE
