-- Pushes what a build manifest lists for a page. `file` is a JSON file below the site's root, read
-- again when it changes: each key a path or a pattern of paths, each value the page's assets.
--   { "/": ["/app.css", { "path": "/app.js", "as": "script" }], "/shop/*": ["/shop.css"] }
-- An exact path wins; otherwise the longest pattern that matches.
local options, none, read, patterns = {}, {} -- one table for all calls: push copies what it takes

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
    options.fetch = policy.args.fetch
    for _, asset in ipairs(find(policy.manifest(policy.args.file) or {}, req.path) or {}) do
      local own = type(asset) == "table" and asset or none
      options.as, options.urgency = own.as, own.urgency
      push:add(own.path or asset, options)
    end
  end,
}
