-- One policy for a shop: what its pages need, less on slow connections, and an experiment.
local sections = {
  { path = "/cart*", assets = { "/assets/shop.css", "/assets/cart.js" } },
  { path = "/product/*", assets = { "/assets/shop.css", "/assets/product.js", "/assets/zoom.js" } },
  { path = "/", assets = { "/assets/shop.css", "/assets/home.js", "/assets/hero.webp" } },
}

local function assets_for(path)
  for _, section in ipairs(sections) do
    if util.glob(section.path, path) then
      return section.assets
    end
  end
  return {}
end

return {
  api = 1,
  args = { slow_ms = "duration?" },

  on_request = function(req, push)
    if req.save_data then
      return false, "save_data" -- nothing is proposed, and the log says why
    end
    for _, path in ipairs(assets_for(req.path)) do
      push:add(path)
    end
    -- Half of the clients get the reviews' script early; the log tells who did.
    if util.glob("/product/*", req.path) and util.bucket(req.client, 2, "reviews") == 1 then
      push:add("/assets/reviews.js", { urgency = 6, why = "reviews early" })
    end
  end,

  on_push = function(req, r)
    local rtt_ms = req.client.rtt_ms
    if r.as == "image" and rtt_ms and rtt_ms > (policy.args.slow_ms or 300) then
      return "hint", "slow connection"
    end
  end,

  on_push_result = function(req, r, result)
    if result == "cancelled" then
      log.info("a push was cancelled", { path = r.path, page = req.path })
    end
  end,
}
