/**
 * The part of the script (`script.ts`) for a server that is a node of a quorum: what it remembers of itself, and what that
 * allows it. `src/quorum/` says why.
 */
import { PROPOSED_AHEAD_MAX_MS } from '../../quorum/node.ts'

const MEMORY_FORMAT = 1

export const MEMORY: string = String.raw`
-- What a node of a quorum knows of itself, under a key that never expires. It has forgotten when the key is gone, or
-- when the server is another run of itself and nobody vouches that it keeps all it has answered. Whoever leaves need not know.
if ARGV[1] ~= 'leave' and string.sub(KEYS[#KEYS], -7) == ':memory' then
  local longest, durable = unpack(cjson.decode(ARGV[#ARGV]))
  memory = { key = KEYS[#KEYS], top = 0, longest = longest }
  local raw = call('GET', memory.key)
  if raw then
    local format, waits
    format, memory.run, memory.since, memory.admitted, memory.top, waits = cmsgpack.unpack(raw)
    if format ~= ${MEMORY_FORMAT} then error('HOLDFASTVERSION ' .. tostring(format)) end
    memory.longest = math.max(longest, waits)
  end
  local run
  if not raw or durable == 0 then
    local info = call('INFO', 'server')
    local at = string.find(info, 'run_id:', 1, true) + 7
    run = string.sub(info, at, at + 39)
  end
  if run and memory.run ~= run then
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

  local function incarnation()
    return string.format('%s:%.0f', memory.run, memory.since)
  end

  -- What the node has to say before its queues are asked; without an answer, what they are asked.
  function memory.answer(verb, subject, x)
    local number = tonumber(x)
    memory.given = verb == 'seed' and number
    if verb == 'recall' then
      return { incarnation(), memory.top, memory.quarantine or -1 }
    elseif verb == 'admit' then
      if subject ~= incarnation() or (memory.quarantine and memory.quarantine > 0) then return 0 end
      raise(number)
      memory.admitted, memory.quarantine, memory.dirty = 1, nil, true
      return 1
    elseif memory.quarantine and verb == 'join' then
      return { 'refused', 'quarantine', memory.quarantine, 0, '' }
    elseif memory.quarantine and verb == 'confirm' then
      return { 'lost' }
    elseif verb == 'join' then
      if number and number <= now + ${PROPOSED_AHEAD_MAX_MS * 1000} then raise(number - 1) end
      x = ''
    elseif verb == 'confirm' then
      raise(number)
    elseif verb == 'seed' then
      verb, x = 'join', ''
    end
    return nil, verb, x
  end

  function memory.save()
    if not memory.dirty then return end
    call('SET', memory.key,
      cmsgpack.pack(${MEMORY_FORMAT}, memory.run, memory.since, memory.admitted, memory.top, memory.longest))
  end
end
`
