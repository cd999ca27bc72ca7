/** The part of the script (`script.ts`) for a queue of which more than one is in it, or was. */
import { ALONE, BACK, CROWD, CROWDED, FORMAT, FREE, FRONT, HEAD, SLACK } from './head.ts'

/** Whoever is first in line hears when the first of the holders ends; of so many holders at most. */
const HOLDERS_LOOKED_AT = 100

export const CROWDS: string = String.raw`
-- Crowds -----------------------------------------------------------------------------------------------------------

local function makeCrowd()

local pack = cmsgpack.pack

local function packSeat(seat)
  return pack(seat.fence, seat.weight, seat.ttl, seat.waitTtl, seat.delay, seat.joined, seat.held, seat.lingering,
    seat.inbox, seat.tag, seat.info)
end

local function find(q, id)
  if q.count == 0 then return nil end
  local raw = call('HGET', q.seats, id)
  if not raw then return nil end
  local fence, weight, ttl, waitTtl, delay, joined, held, lingering, inbox, tag, info = cmsgpack.unpack(raw)
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
  local mode, last, followed, expires, rest = get('>${HEAD}', raw, 2)
  q.last, q.followed = last, followed
  if mode == ${ALONE} then
    local ends, delay, id, joined, ttl, tag, others = get('>${FRONT}${BACK}', raw, rest)
    local weight, capacity, waitTtl, _, _, inbox, info = unpack(cjson.decode(others))
    q.capacity, q.count, q.holders, q.weight, q.dirty = capacity, 1, 1, weight, true
    call('DEL', q.order, q.ends, q.seats)
    insert(q, { id = id, ends = ends, fence = last, weight = weight, ttl = ttl, waitTtl = waitTtl, delay = delay,
      joined = joined, held = joined, lingering = 0, inbox = inbox, tag = tag, info = info })
  elseif mode == ${CROWDED} then
    q.expires, q.capacity, q.count, q.holders, q.weight, q.earliest = expires, get('>${CROWD}', raw, rest)
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
    local crowded = q.count > 0
    local expires = math.max(crowded and q.expires or math.max(now, q.last) + ${SLACK}, q.followed)
    local text = put('>B${HEAD}', ${FORMAT}, crowded and ${CROWDED} or ${FREE}, q.last, q.followed, crowded and q.expires or expires)
    if crowded then text = text .. put('>${CROWD}', q.capacity, q.count, q.holders, q.weight, q.earliest) end
    call('SET', q.head, text, 'PX', math.ceil((expires - now) / 1000))
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
  q.granted[seat.id] = nil
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

local decoded = {}

-- What stands in ARGV from there on: ttl, lock delay, and all else.
local function termsAt(place)
  decoded[place] = decoded[place] or cjson.decode(ARGV[place + 2])
  return ARGV[place] + 0, ARGV[place + 1] + 0, unpack(decoded[place])
end

local function join(q, id, tag, place)
  local known = find(q, id)
  if known then return standing(q, known) end
  local ttl, delay, weight, capacity, waitTtl, patient, waitersMax, inbox, info = termsAt(place)
  if q.count > 0 then
    if q.capacity ~= capacity then return refused(q, 'capacity') end
    if q.holders < q.count or q.weight + weight > q.capacity then
      if patient == 0 then return refused(q, 'held') end
      if waitersMax >= 0 and q.count - q.holders >= waitersMax then return refused(q, 'full') end
    end
  end
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

-- Of the entry with an owner token; what it is asked comes as numbers.
local function entryVerb(q, verb, seat, x, y)
  if verb == 'renew' then
    local ends = now + (seat.held > 0 and x or math.min(x, seat.waitTtl))
    if ends > endsAt(q, seat) then writeEnd(q, seat, ends) end
    return standing(q, seat)
  elseif verb == 'confirm' then
    local fence, drawn = x, y
    if q.count > 1 or (seat.fence ~= drawn and seat.fence ~= fence) then return { 'lost' } end
    seat.fence = fence
    q.last, q.dirty = fence, true
    call('ZADD', q.order, fence, seat.id)
    write(q, seat)
    return standing(q, seat)
  elseif verb == 'leave' then
    if x > 0 and seat.held > 0 then
      linger(q, seat, now + x)
      -- The first waiter sleeps until the end that it was told, and that has come closer.
      if q.holders < q.count then wake(at(q, q.holders), false) end
    else
      forget(q, seat)
      grant(q)
    end
    return 1
  elseif verb == 'lighten' then
    if seat.held > 0 and x < seat.weight then
      q.weight = q.weight - seat.weight + x
      q.dirty = true
      seat.weight = x
      write(q, seat)
      grant(q)
    end
    return standing(q, seat)
  elseif verb == 'describe' then
    seat.info = x
    write(q, seat)
    if seat.held > 0 then q.changed = true end
    return 1
  end
end

local function evict(q, fence)
  local id = q.count > 0 and call('ZRANGEBYSCORE', q.order, fence, fence)[1]
  if not id then return 0 end
  forget(q, find(q, id))
  grant(q)
  return 1
end

local function look(q)
  local entries = {}
  for place, id in ipairs(call('ZRANGE', q.order, 0, -1)) do
    local seat = find(q, id)
    entries[place] = { seat.fence, seat.weight, now - seat.joined, seat.held > 0 and now - seat.held or -1,
      endOf(q, seat) - now, seat.lingering, seat.info }
  end
  return { q.capacity, q.holders, entries }
end

local function carryOut(q, verb, subject, x, y)
  prune(q)
  if verb == 'join' then return join(q, subject, x, y) end
  if verb == 'look' then return look(q) end
  if verb == 'evict' then return evict(q, subject) end
  if verb == 'follow' then
    -- For so long, say on the channel of the name when its holders change.
    q.followed = math.max(q.followed, now + subject)
    q.dirty = true
    return 1
  end
  local seat = find(q, subject)
  if seat then return entryVerb(q, verb, seat, x, y) end
  return (verb == 'leave' or verb == 'describe') and 0 or { 'lost' }
end

return load, save, carryOut

end
`
