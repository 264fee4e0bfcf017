-- Pushes what a build manifest lists for a page. `file` is a JSON file below the site's root, read
-- again when it changes: each key a path or a pattern of paths, each value the page's assets.
--   { "/": ["/app.css", { "path": "/app.js", "as": "script" }], "/shop/*": ["/shop.css"] }
-- An exact path wins; otherwise the longest pattern that matches.
local type, manifest = type, policy.manifest
local file, fetch, common -- the arguments; the options of an asset that says nothing of its own
local read, patterns, options -- a manifest, its keys, the longest first, and its assets' options

local function learn(pages)
  read, patterns, options = pages, {}, {}
  for pattern in pairs(pages) do
    patterns[#patterns + 1] = pattern
  end
  table.sort(patterns, function(a, b) return #a > #b or #a == #b and a < b end)
end

local function by_pattern(pages, path)
  for _, pattern in ipairs(patterns) do
    if util.glob(pattern, path) then
      return pages[pattern]
    end
  end
end

local function options_of(asset)
  options[asset] = options[asset] or { as = asset.as, urgency = asset.urgency, fetch = fetch }
  return options[asset]
end

return {
  api = 1,
  args = { file = "string", fetch = "boolean?" }, -- fetch: ask an origin for what is not cached
  init = function(args)
    file, fetch = args.file, args.fetch
    common = fetch and { fetch = true } or nil
  end,
  on_request = function(req, push)
    local pages, path, add = manifest(file), req.path, push.add
    if pages and pages ~= read then
      learn(pages)
    end
    for _, asset in ipairs(pages and (pages[path] or by_pattern(pages, path)) or {}) do
      local said = type(asset) == "table"
      add(push, said and asset.path or asset, said and options_of(asset) or common)
    end
  end,
}
