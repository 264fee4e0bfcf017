-- Pushes what the page's own HTML references: stylesheets, scripts, fonts and images that a browser
-- is sure to ask for. herald reads the HTML once per version of the page; until it has, nothing is
-- proposed. What blocks painting comes first; everything stays behind the page, and once that is
-- out ranks as if the client had asked for it.
local max -- the argument
local options -- one table for all calls: push copies what it takes

return {
  api = 1,
  args = {
    max = "integer?", -- at most so many
    fetch = "boolean?", -- of a proxied site: ask the origin for what is not cached
  },
  init = function(args)
    max = args.max or math.huge
    options = { fetch = args.fetch }
  end,
  on_request = function(req, push)
    local add = push.add
    for i, asset in ipairs(assets.of(req.path)) do
      if i > max then
        break
      end
      options.as = asset.as
      options.urgency = asset.priority == "low" and 6 or nil -- nil: by what it is
      options.fetchpriority = asset.priority
      options.crossorigin = asset.crossorigin
      add(push, asset.path, options)
    end
  end,
}
