-- Pushes what a build manifest lists for a page. `file` is a JSON file below the site's root, read
-- again when it changes: each key a path or a pattern of paths, each value the page's assets.
--   { "/": ["/app.css", { "path": "/app.js", "as": "script" }], "/shop/*": ["/shop.css"] }
-- An exact path wins; otherwise the longest pattern that matches.
local type, manifest = type, policy.manifest
local file, common -- the arguments; the options of an asset that says nothing of its own
local read, patterns, lists -- a manifest; its keys, the longest first; by key, what is proposed

local function learn(pages)
  read, patterns, lists = pages, {}, {}
  for pattern in pairs(pages) do
    patterns[#patterns + 1] = pattern
  end
  table.sort(patterns, function(a, b) return #a > #b or #a == #b and a < b end)
end

local function by_pattern(path)
  for _, pattern in ipairs(patterns) do
    if util.glob(pattern, path) then
      return pattern
    end
  end
end

-- Of what a build notes of an asset, this much is herald's.
local function list_of(assets)
  local list = {}
  for i, asset in ipairs(assets) do
    local said = type(asset) == "table"
    list[i] = said and { path = asset.path, as = asset.as, urgency = asset.urgency } or asset
  end
  return list
end

return {
  api = 1,
  args = { file = "string", fetch = "boolean?" }, -- fetch: ask an origin for what is not cached
  init = function(args)
    file, common = args.file, args.fetch and { fetch = true } or nil
  end,
  on_request = function(req, push)
    local pages, path = manifest(file), req.path
    if pages and pages ~= read then
      learn(pages)
    end
    local key = pages and (pages[path] and path or by_pattern(path))
    if key then
      lists[key] = lists[key] or list_of(pages[key])
      push:add_all(lists[key], common)
    end
  end,
}
