-- Pushes what a build manifest lists for a page. `file` is a JSON file below the site's root, read
-- again when it changes: each key a path or a pattern of paths, each value the page's assets.
--   { "/": ["/app.css", { "path": "/app.js", "as": "script" }], "/shop/*": ["/shop.css"] }
-- An exact path wins; otherwise the longest pattern that matches.
local read, patterns

local function lists(pages)
  if pages ~= read then
    read, patterns = pages, {}
    for pattern in pairs(pages) do
      patterns[#patterns + 1] = pattern
    end
    table.sort(patterns, function(a, b) return #a > #b or #a == #b and a < b end)
  end
  return patterns
end

local function find(pages, path)
  if pages[path] then
    return pages[path]
  end
  for _, pattern in ipairs(lists(pages)) do
    if util.glob(pattern, path) then
      return pages[pattern]
    end
  end
end

return {
  api = 1,
  args = { file = "string", fetch = "boolean?" }, -- fetch: ask an origin for what is not cached
  on_request = function(req, push)
    for _, asset in ipairs(find(policy.manifest(policy.args.file) or {}, req.path) or {}) do
      asset = type(asset) == "table" and asset or { path = asset }
      push:add(asset.path, { as = asset.as, urgency = asset.urgency, fetch = policy.args.fetch })
    end
  end,
}
