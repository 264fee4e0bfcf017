-- A shop whose build writes fingerprinted names: dist/manifest.json below the site's root has the
-- file of each source, { "zoom.js": "/dist/zoom.3f9a.js" }. A deployment changes what is pushed.
local needs = {
  { path = "/cart*", "shop.css", "cart.js" },
  { path = "/product/*", "shop.css", "product.js", "zoom.js" },
  { path = "/", "shop.css", "home.js" },
}

return {
  api = 1,
  args = { manifest = "string?" },
  on_request = function(req, push)
    local files = policy.manifest(policy.args.manifest or "dist/manifest.json")
    if not files then
      return false, "no manifest" -- nothing is proposed, and the log says why
    end
    for _, section in ipairs(needs) do
      if util.glob(section.path, req.path) then
        for _, source in ipairs(section) do
          if files[source] then
            push:add(files[source], { why = source })
          end
        end
        return
      end
    end
  end,
}
