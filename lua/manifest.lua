-- Pushes what a build manifest lists for a page. `file` is a JSON file below the site's root, read
-- again when it changes: each key a path or a pattern of paths, each value the page's assets.
--   { "/": ["/app.css", { "path": "/app.js", "as": "script" }], "/shop/*": ["/shop.css"] }
-- An exact path wins; otherwise the longest pattern that matches.
local type, manifest = type, policy.manifest
local file, fetch, common -- the arguments; the options of an asset that says nothing of its own
local read -- the manifest that these are made of, anew when it changes:
local patterns -- its keys, the longest first; nil until they are wanted
local options -- by asset that says more than its path

local function lists(pages)
  if not patterns then
    patterns = {}
    for pattern in pairs(pages) do
      patterns[#patterns + 1] = pattern
    end
    table.sort(patterns, function(a, b) return #a > #b or #a == #b and a < b end)
  end
  return patterns
end

local function by_pattern(pages, path)
  for _, pattern in ipairs(lists(pages)) do
    if util.glob(pattern, path) then
      return pages[pattern]
    end
  end
end

local function options_of(asset)
  local made = options[asset]
  if not made then
    made = { as = asset.as, urgency = asset.urgency, fetch = fetch }
    options[asset] = made
  end
  return made
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
    if not pages then
      return
    end
    if pages ~= read then
      read, patterns, options = pages, nil, {}
    end
    for _, asset in ipairs(pages[path] or by_pattern(pages, path) or {}) do
      if type(asset) == "table" then
        add(push, asset.path or asset, options_of(asset))
      else
        add(push, asset, common)
      end
    end
  end,
}
