-- apply: moves the state, the outbox and the offsets of one batch together, or changes nothing.
--
-- KEYS   1 nodes 2 links 3 slots 4 chunks 5 synonyms 6 history 7 meta 8 offsets (HASH each)  9 outbox (STREAM)
--        10 marks 11 quarantine 12 suspended 13 pending 14 unsettled (HASH each)  15 touched (SET)  16 moving (HASH)
--        17 redact (SET)  18 said 19 profiles 20 staff (HASH each)  21 timers (ZSET)  22 unsummed 23 timelines
--        24 recent 25 watched (HASH each)  26 retracted (SET)
-- ARGV   1 number of partitions m   2 most transitions the outbox may hold   3 version of the rules   4 rules, packed
--        5 'dry' for a preview, 'later' to leave restructurings to bounded calls, 'tick' to let time go by, 'sum'
--          to sum up what was left (then messages of `sum_up` follow, and nothing else), 'amend' to set right what the log
--          says otherwise (then messages of `amend` do), else ''   6 an operator event, packed, or ''   7 most records one restructuring may read
--        8 number of messages of facts f; of a tick the instant (ms) that `now` may not pass, or ''
--        9 number of messages of recent events r, 0 or n   10 how many of them a link keeps
--        11 how many retracted events the batch was made without ('' if that does not matter)
--        then m times: partition field, offset expected ('' for none), next offset
--        then n link handles (16 bytes each), then n link messages, in log order:
--          6 bytes last instant (ms), 2 bytes length + first log position, 1 byte entity type, 1 byte count,
--          count times: 16 bytes identifier key (ascending), 2 bytes length + name; then, to the end of the message,
--          16 bytes identifier key and 16 bytes key of a synonym of it;
--        then f messages of facts, in log order (`profiles`), then r messages of recent events, one a link (`recent`)
-- Reply  {'applied', transitions made}
--        {'fenced', field, offset, ...}   what the offsets are ('' for none); nothing was changed
--        {'full', transitions waiting}    publish first; nothing was changed
--        {'rules', version}               the rules in force are others; nothing was changed
--        {'retracted'}                    the batch may hold events that are retracted; nothing was changed
--        {'erased', key, position, ...}   identifiers that were erased; say what goes by them now; nothing was changed
--        {'large', key, ...}              entities above the limit would be restructured, or such as are being
--                                         restructured: say 'later'; nothing was changed
--        {'busy'}                         a region that it touches is about to change: come again; nothing was changed
--        {'preview', transitions}         what would be made; nothing was changed
--        {'ticked', transitions made, timers that went off, '1' if more are due or ''}
-- Cost   one HMGET a kind of key, one more for each level of moved slots (log of the merges), one HSET a kind of key;
--        a restructuring reads the identifiers and links of the entities concerned
--
-- May be run twice with the same arguments: the second run is fenced. It writes last, and the first write (XADD) is the
-- only one that can be refused.
local NODES, LINKS, SLOTS, CHUNKS, SYNONYMS, HISTORY, META, OFFSETS, OUTBOX, MARKS, QUARANTINE, SUSPENDED, PENDING,
  UNSETTLED, TOUCHED, MOVING, REDACT = unpack(KEYS, 1, 17)
local watched = {KEY = KEYS[25], is_amending = ARGV[5] == 'amend'}
local moves, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local is_dry, is_later, is_tick, operation = ARGV[5] == 'dry', ARGV[5] == 'later', ARGV[5] == 'tick', ARGV[6]
local most_read = tonumber(ARGV[7])
local is_summing = ARGV[5] == 'sum'
local FIRST_MOVE, n_facts = 12, is_tick and 0 or tonumber(ARGV[8])
local recent = {RECENT = KEYS[24], records = {}, gone = {}, n = tonumber(ARGV[9]), most = tonumber(ARGV[10])}
local first_handle = FIRST_MOVE + 3 * moves
local n_links = (#ARGV - first_handle + 1 - n_facts - recent.n) / 2
