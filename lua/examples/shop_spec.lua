return {
  files = {
    ["dist/manifest.json"] = {
      json = { ["shop.css"] = "/dist/shop.11aa.css", ["cart.js"] = "/dist/cart.22bb.js",
               ["product.js"] = "/dist/product.33cc.js", ["home.js"] = "/dist/home.44dd.js" },
    },
    ["/dist/shop.11aa.css"] = "12KiB", ["/dist/cart.22bb.js"] = "8KiB",
    ["/dist/product.33cc.js"] = "9KiB", ["/dist/home.44dd.js"] = "5KiB",
  },
  { "a product gets what the manifest has of it",
    request = "/product/boots", push = { "/dist/shop.11aa.css", "/dist/product.33cc.js" },
  },
  { "the cart gets its own script",
    request = "/cart", push = { "/dist/shop.11aa.css", "/dist/cart.22bb.js" },
  },
  { "other pages get nothing", request = "/imprint", push = {} },
  { "without a manifest nothing is pushed, and the log says why",
    files = { ["dist/manifest.json"] = false }, push = {}, nothing = "no manifest",
  },
}
