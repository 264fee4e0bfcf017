-- Pushes what clients ask for after a page, once enough distinct ones have. Nothing is proposed to
-- some visits, "watched" ones, so that the set is not its own witness. Who counts as distinct, and
-- which resources are ever named: see learn.next in herald-policy(7).
local wish
local options -- one table for all calls: push copies what it takes

return {
  api = 1,
  args = {
    max = "integer?", -- at most so many; default: all that are known, 32 at most
    min_seen = "integer?", -- distinct clients that asked for it lately: 5 to 20; default: 5
    fetch = "boolean?", -- of a proxied site: ask the origin for what is not cached
    min_share = "number?", -- of those who came to the page; 0 to 1, default: 0.5
  },
  init = function(args)
    options = { fetch = args.fetch }
    wish = { max = args.max, min_seen = args.min_seen, min_share = args.min_share }
  end,
  on_request = function(req, push)
    local assets, why = learn.next(req.path, wish)
    local add = push.add
    for _, asset in ipairs(assets) do
      options.as, options.crossorigin = asset.as, asset.crossorigin
      add(push, asset.path, options)
    end
    if why then
      return false, why
    end
  end,
}
