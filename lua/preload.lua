-- Pushes what the response itself names: `Link: </a.css>; rel=preload; as=style`.
-- `nopush` in a link asks for a hint instead. A link's fetchpriority moves it ahead of the other
-- candidates, or behind them; all of them stay behind their page.
local urgency = { high = 4, low = 6 }
local options -- one table for all calls: push copies what it takes

return {
  api = 1,
  args = { fetch = "boolean?" }, -- of a proxied site: ask the origin for what is not cached
  init = function(args)
    options = { fetch = args.fetch }
  end,
  on_response = function(_, res, push)
    local add = push.add
    for _, link in ipairs(res.links) do -- of the page, or before that of its origin's 103
      local is_module = link.rel == "modulepreload"
      if link.same_origin and (is_module or link.rel == "preload") then
        options.as = link.as or is_module and "script" or nil
        options.urgency = urgency[link.fetchpriority]
        options.fetchpriority = options.urgency and link.fetchpriority
        options.crossorigin = link.crossorigin
        if link.nopush then
          push:hint(link.path, options)
        else
          add(push, link.path, options)
        end
      elseif link.rel == "preconnect" then
        push:preconnect(link.path)
      end
    end
  end,
}
