---@meta herald
-- Written from policy/api.def by build/tests/policy_api; changes made here are lost.

---@alias herald.result 'delivered' | 'cancelled' | 'refused' | 'lost'

---What a policy file returns. A bare function stands for { on_request = it }.
---@class herald.module
---@field api integer The version of this interface: 1.
---@field args? table The arguments it takes from the config, each with its type: 'string', 'number', 'integer', 'boolean', 'size' (bytes; "64KiB"), 'duration' (milliseconds; "5s"), 'list', 'table'. With '?' it may be left out.
---@field applies? herald.applies Which requests it is asked about.
---@field init? fun(args: table) Runs once per worker and version, after the arguments were checked. There is no request.
---@field on_request? fun(req: herald.req, push: herald.push): false?, string? Knows the request only, so what it proposes can go out first: as push, or in the one 103. Returning false and a word takes back what this call proposed, and says so in explain.
---@field on_response? fun(req: herald.req, res: herald.res, push: herald.push): false?, string? Runs when the page's response fields are known. What it proposes becomes push or Link. Of a page that an origin makes, what on_request proposed has gone out by then; and where the origin sends a 103, this hook runs for that first, with res.status 103 and nothing but its links, and what it proposes goes out at once, too. Not called for errors and redirects. Returns as on_request.
---@field on_push? fun(req: herald.req, r: herald.r, push: herald.push): false | 'hint' | nil, string? Judges one candidate, resolved. Nothing returned: accepted; false and a word: not sent; 'hint' and a word: named in 103 or Link, not pushed. Any policy's veto wins.
---@field on_push_result? fun(req: herald.req, r: herald.r, result: herald.result) Tells how a push ended: 'delivered' (acknowledged by the client's kernel), 'cancelled' or 'refused' (by the client), 'lost' (by anything else).

---Tested before any Lua runs: other requests cost nothing. Each is a string or a list of them, of
---which one has to match.
---@class herald.applies
---@field dest string | string[] | nil Destinations (see req.dest), or '*'. Default: 'document'.
---@field path string | string[] | nil Patterns of the path; '*' stands for any run of bytes. Default: every path.
---@field method string | string[] | nil Methods, or '*'. Default: 'GET'.

---The request for a page, while one of its hooks runs.
---@class herald.req
---@field id string The request's id, as in the log.
---@field method string "GET".
---@field scheme string "https" or "http".
---@field host string The authority without its port, in lower case.
---@field path string Normalised and decoded, without the query.
---@field query string What follows "?"; empty when nothing does.
---@field dest? string What is asked for: document style script font image fetch audio video track worker manifest. From Sec-Fetch-Dest, or else from the path's type.
---@field mode? string Sec-Fetch-Mode: "navigate" and so on.
---@field referer_path? string The path of the Referer, when it is of this authority.
---@field save_data boolean The client asked for less data (Save-Data: on).
---@field revalidate boolean The user reloads: Cache-Control is no-cache or max-age=0.
---@field headers table<string, string?> The first field of that name, in any case. Cannot be listed.
---@field cookies table<string, string?> The first cookie of that name; herald's own is never shown, nor in headers.
---@field vars table Yours for this request, shared by its hooks and its policies.
---@field client herald.client Who asks.

---The client of a request.
---@class herald.client
---@field id? string Its id as in the log, a hash; nil when it has none.
---@field identified_by? string "cookie", "tls" or "connection".
---@field can herald.can What it takes.
---@field rtt_ms? number Round-trip time.
---@field cwnd_bytes? number What may be in flight to it.
---@field bandwidth_bps? number Delivery rate, bits a second.
---@field ect? string Its own estimate, the ECT field: "4g" and so on.
local client = {}

---What it holds of a resource; 'stale' is another version of it.
---@param path string
---@return 'held' | 'declined' | 'stale' | nil
function client:has(path) end

---What a client takes.
---@class herald.can
---@field push boolean PUSH_PROMISE, now.
---@field hints boolean 103 Early Hints; over HTTP/1.1 the Link field alone. Navigations of clients without push.

---The page's response, before its content is sent.
---@class herald.res
---@field status integer 200 or 304; 103 for an origin's Early Hints.
---@field mime string Its media type, without parameters.
---@field size number Bytes of content; 0 when not known.
---@field headers table<string, string?> As req.headers.
---@field etag? string With its quotes.
---@field cacheable boolean The client may store it.
---@field ttl_s number Seconds that it stays fresh.
---@field from string "file", "cache" or "origin".
---@field links herald.link[] The links of its Link fields, of every relation: one for each relation of a link, in lower case, at most 32. Those with an anchor are left out: they are another resource's.

---A link of the response (RFC 8288). Absent flags are nil.
---@class herald.link
---@field path string The target: an absolute path when it is of this authority.
---@field rel string Its relation: "preload" and so on.
---@field as? string A destination, as req.dest.
---@field nopush? true The response asks that it be hinted and not pushed.
---@field fetchpriority? string "high" or "low".
---@field crossorigin? true It is fetched in CORS mode.
---@field same_origin? true It is of this authority.

---A candidate.
---@class herald.r
---@field path string Its path, with its query.
---@field kind string "push", "hint" or "preconnect".
---@field as? string Its destination, as req.dest.
---@field urgency? integer 0 to 7 (RFC 9218); nil: herald chooses.
---@field size? number Bytes that would be sent. This and the next four once resolved.
---@field mime? string Its media type.
---@field etag? string With its quotes.
---@field cacheable? boolean The client may store it.
---@field has 'held' | 'declined' | 'stale' | nil What the client holds of it.
---@field proposer string The policy that proposed it.
---@field why? string That policy's word for it.

---What is proposed for a page.
---@class herald.push
---@field bytes number Sizes of the candidates accepted so far, summed.
---@field count integer How many they are.
---@field budget_bytes number Bytes that may be pushed with the page.
local push = {}

---Proposes a push; herald turns it into a hint where the client takes no push. Returns true, or
---false and why the name is not taken. The first proposal of a path stands.
---@param path string
---@param options? herald.options
---@return boolean
---@return string?
function push:add(path, options) end

---Proposes each of a list as push:add does, and costs less: paths, and tables of a path and options
---of its own, { path = "/app.js", as = "script" }; for what an item does not say, options. Returns
---how many were taken.
---@param list (string | table)[]
---@param options? herald.options
---@return integer
function push:add_all(list, options) end

---Proposes a hint: 103 or Link with rel=preload.
---@param path string
---@param options? herald.options
---@return boolean
---@return string?
function push:hint(path, options) end

---Proposes a hint with rel=preconnect: "https://img.example.com".
---@param origin string
---@return boolean
---@return string?
function push:preconnect(origin) end

---Refuses a path for this page, whoever proposes it, before or after. What has gone out stays:
---false and its verdict.
---@param path string
---@param why? string
---@return boolean
---@return string?
function push:skip(path, why) end

---Iterates over the candidates: for r in push:each().
---@return fun(): herald.r?
function push:each() end

---Of push:add and push:hint, all optional.
---@class herald.options
---@field as? string Its destination, as req.dest. Default: from the path's type.
---@field urgency? integer 0 to 7 (RFC 9218). Default: behind the page.
---@field incremental? boolean It is of use before it is complete (RFC 9218).
---@field fetch? boolean On a proxied site: the origin is asked for it when the worker's cache has no fresh answer; it is pushed once its answer has begun, and may be kept for everyone. Default: what is not cached is not pushed (not_cached).
---@field fetchpriority? string What a hint says of the fetch's priority: "high", "low" or "auto", as in HTML. Of a push urgency says it.
---@field crossorigin? boolean It is fetched in CORS mode. Default: fonts are.
---@field why? string A word for the log and for explain.

---The policy that runs.
---@class herald.policy
---@field name string As in the config.
---@field version string The version's name, 16 hexadecimal digits.
---@field args table Its arguments; known in init and in the hooks.
policy = {}

---A file of the policy folder, part of the version: a *.json file's value, or else the text. The
---same value every time.
---@param file string
---@return any
function policy.data(file) end

---The value of a JSON file below the site's root, such as a build manifest; read again when it
---changes. nil when there is none.
---@param file string
---@return any
function policy.manifest(file) end

---What pages need.
---@class herald.assets
assets = {}

---What the HTML of a page of this site references, render-blocking assets first, each part in
---document order. Empty while the page has not been read yet.
---@param path string
---@return herald.asset[]
function assets.of(path) end

---An asset that a page references. Absent flags are nil.
---@class herald.asset
---@field path string Its path, with its query.
---@field as string Its destination, as req.dest.
---@field blocking? true Nothing is painted before it is there.
---@field crossorigin? true It is fetched in CORS mode.
---@field priority? string Its fetchpriority: "high" or "low".

---What became of pushes lately, of all clients of this site: figures are halved every 4 hours. nil
---while fewer than 20 promises of the path have been settled.
---@class herald.stats
stats = {}

---The share of its promises that were delivered, of all that ended: from 0 to 1.
---@param path string
---@return number?
function stats.accept_ratio(path) end

---The share that clients cancelled or refused, of those that they could have had.
---@param path string
---@return number?
function stats.cancel_ratio(path) end

---How often clients asked for it themselves while it was being pushed or although they were
---believed to hold it, for each one delivered. nil below 20 of these, too.
---@param path string
---@return number?
function stats.rerequest_ratio(path) end

---Bytes of it that were sent in vain: cancelled, refused, lost, or sent twice.
---@param path string
---@return number?
function stats.waste_bytes(path) end

---What clients ask for after a page, learned from them.
---@class herald.learn
learn = {}

---What follows a page of this site, in the order in which clients ask for it; when nothing does,
---also why: 'unknown', or 'watched', for the one visit in 4 to 16 that is given nothing so that the
---set is not its own witness. From the first call on, what the client asks for within 5 seconds of
---a page is watched, unless it was given something. It counts only when its name is public: no
---query, no Authorization, no cookies of others without "public", an answer that a shared cache may
---store, and 5 distinct clients that asked. Of one address at most clients.per_address clients
---count.
---@param page string
---@param wish? herald.wish
---@return herald.learned[]
---@return string?
function learn.next(page, wish) end

---Says that the client of this request asked for the path after the page, for what herald does not
---see by itself. Counts like any request: once for each client. Returns whether it was counted.
---@param page string
---@param path string
---@return boolean
function learn.note(page, path) end

---What follows a page. Absent flags are nil.
---@class herald.learned
---@field path string Its path.
---@field as? string Its destination, as req.dest.
---@field crossorigin? true It is fetched in CORS mode.

---Of learn.next, all optional.
---@class herald.wish
---@field max? integer At most so many: 0 to 32, which is the default.
---@field min_seen? integer Distinct clients that asked for it lately: 5 to 20. Default: 5.
---@field min_share? number Their share of those who came to the page and did not hold it. Default: 0.5.

---The dictionaries that the config declares: shared = { counters = "1MiB" } there is
---shared.counters here. All workers have them in common; they outlive versions, reloads and crashes
---of workers, and end with herald: nothing is saved to disk. A name that is not declared is an
---error when the file is loaded. They need a request: not while a file is loaded, nor in init. A
---version that runs as shadow reads them and changes nothing; explain changes nothing either. In a
---spec each case has its own, empty at first, in which no time passes.
---@class herald.shared
---@field [string] herald.dictionary
shared = {}

---A dictionary. Keys have 1 to 250 bytes; a number stands for its text. Values are strings of at
---most 8,192 bytes, numbers and booleans. What fails returns nil and why: 'bad key', 'too large',
---'not a number', or 'busy', when its part of the dictionary stayed locked for 100 ms. When there
---is no room, what expired goes first, then what expires first, then what was written least
---recently. Keys and values lie in memory as they are given.
---@class herald.dictionary
local dictionary = {}

---The value; nil when there is none.
---@param key string | number
---@return string | number | boolean | nil
---@return string?
function dictionary:get(key) end

---Writes a value; ttl: seconds until it expires, rounded up. Without it, it stays.
---@param key string | number
---@param value string | number | boolean
---@param ttl? number
---@return true?
---@return string?
function dictionary:set(key, value, ttl) end

---As set, but only where there is no value: else nil and 'exists'. Of all workers that try at once,
---one succeeds.
---@param key string | number
---@param value string | number | boolean
---@param ttl? number
---@return true?
---@return string?
function dictionary:add(key, value, ttl) end

---Adds to a number, by default 1, and returns the sum; no addition of another worker is lost. Where
---there is none it begins as init, by default 0, and expires after ttl. The expiry of one that is
---there stays.
---@param key string | number
---@param by? number
---@param init? number
---@param ttl? number
---@return number?
---@return string?
function dictionary:incr(key, by, init, ttl) end

---Removes a value; returns whether there was one.
---@param key string | number
---@return boolean?
---@return string?
function dictionary:delete(key) end

---Helpers.
---@class herald.util
util = {}

---Whether the whole text matches: '*' stands for any run of bytes, '?' for one.
---@param pattern string
---@param text string
---@return boolean
function util.glob(pattern, text) end

---A number from 0 to n - 1 that stays the same for a client, for experiments. Another salt deals
---anew. A client without id gets one by its request.
---@param client herald.client
---@param n integer
---@param salt? string
---@return integer
function util.bucket(client, n, salt) end

---The error log.
---@class herald.log
log = {}

---Writes a line with the request's id. Fields are strings, numbers or booleans.
---@param message string
---@param fields? table
function log.info(message, fields) end

---What a spec returns: NAME_spec.lua beside the policy NAME.lua. Its fields hold for all its cases,
---which are its items.
---@class herald.spec
---@field policy? string The policy under test. Default: the file's name without _spec.
---@field policies? table Instead of it, a list as in a site's config: { "scan", { "budget", max_count = 2 } }.
---@field args? table The policy's arguments, as in the config.
---@field request string | herald.given_request | nil The page: its path, with the query if there is one, or a table. Default: "/".
---@field client? herald.given_client Who asks. Default: a new client that takes pushes.
---@field response? herald.given_response The page's response. Default: a 200, text/html.
---@field files? table<string, number | string | false | herald.given_file> What the site has besides the page, by path: its size, or a table; false: not there. Without `files` every candidate exists, with 1,000 bytes.
---@field assets? table<string, (string | herald.asset)[]> What assets.of says, by the page's path.
---@field learned? table<string, (string | herald.learned)[]> What learn.next says, by the page's path, whatever is wished for but its max.
---@field push_max number | string | nil Bytes that may be pushed with the page (push.max_bytes). Default: "1MiB".

---A case of a spec: { "its name", push = ... }. It may have all fields of the spec but policies and
---args for itself; those of request, client, response, files, assets and learned stand in for the
---spec's one by one. It expects one thing at least.
---@class herald.case
---@field push? string[] The paths that are pushed, in order, and no others.
---@field hint? string[] The paths and origins that are hinted, in order, and no others.
---@field verdicts? table<string, string> The verdict on each of these paths: a word of the list below, a policy's own word ("over_budget"), or "not_proposed".
---@field nothing? string A hook returned false and this word.
---@field fails? string A hook fails, and its error contains this. Otherwise none may.
---@field expect? function Called with { push, hint, verdicts, why, nothing, logs }; fails the case by an error, or by returning false and why.

---The request of a spec or case.
---@class herald.given_request
---@field path? string With its query, if any.
---@field method? string Default: "GET".
---@field scheme? string Default: "https".
---@field host? string Default: "www.example.com".
---@field headers? table<string, string> Its fields; req.dest, mode, save_data and the like follow from them.

---The client of a spec or case.
---@class herald.given_client
---@field id? string Default: "00000000000000c1"; "": it has none.
---@field identified_by? string "cookie" (the default), "tls" or "connection".
---@field push? boolean It takes PUSH_PROMISE. Default: true.
---@field hints? boolean It takes 103, and then no push. Default: false.
---@field rtt_ms? number Default: not known, as are the next two.
---@field cwnd_bytes? number What may be in flight to it.
---@field bandwidth_bps? number Bits a second.
---@field holds? string[] Paths of what it holds.
---@field declined? string[] Paths of what it refused.
---@field stale? string[] Paths of which it holds another version.

---The page's response in a spec or case.
---@class herald.given_response
---@field status? integer Default: 200.
---@field mime? string Default: "text/html".
---@field size? number Default: 1000.
---@field etag? string Default: none.
---@field cacheable? boolean Default: true.
---@field ttl_s? number Default: 3600.
---@field from? string Default: "file".
---@field early? herald.link[] What the origin's 103 says. Default: it sends none. Where `from` is "origin", proposals of on_request go out first, then those for the 103, then the response's.
---@field headers? table<string, string> Its fields.
---@field links? herald.link[] What res.links says.

---A file of a spec or case.
---@class herald.given_file
---@field size number | string | nil Bytes, or "64KiB". Default: 1000.
---@field mime? string Default: by the path.
---@field etag? string With its quotes. Default: "\"v1\"".
---@field cacheable? boolean Default: true.
---@field json any What policy.manifest reads here.

---A file of the policy folder, run once for each policy that requires it.
---@param name string
---@return any
function require(name) end
