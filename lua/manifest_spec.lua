-- What manifest makes of a build manifest.
return {
  args = { file = "build/assets.json" },
  files = {
    ["build/assets.json"] = {
      json = {
        ["/"] = { "/app.css", { path = "/app.js", as = "script", urgency = 2 } },
        ["/shop/*"] = { "/shop.css" },
        ["/shop/cart/*"] = { "/cart.css" },
      },
    },
    ["/app.css"] = 2000, ["/app.js"] = 3000, ["/shop.css"] = 500, ["/cart.css"] = 400,
  },
  { "pushes what is listed for the page", push = { "/app.css", "/app.js" } },
  { "takes a pattern for the pages that have no list of their own",
    request = "/shop/boots", push = { "/shop.css" },
  },
  { "prefers the longest pattern", request = "/shop/cart/2", push = { "/cart.css" } },
  { "knows nothing of other pages", request = "/about", push = {} },
  { "does without a manifest that is not there",
    files = { ["build/assets.json"] = false }, push = {},
  },
}
