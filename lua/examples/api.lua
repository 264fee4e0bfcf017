-- An API: with a collection go its first items, and with an order its customer, as clients of such
-- APIs ask for them next. The answer names them: Link: </items/7>; rel="item".
local RELATED = { item = true, related = true, next = true }

return {
  api = 1,
  args = { max = "integer?" },
  applies = { dest = { "fetch", "document" }, path = "/api/*" },
  on_response = function(_, res, push)
    if res.status ~= 200 or res.mime ~= "application/json" then
      return
    end
    local left = policy.args.max or 5
    for _, link in ipairs(res.links) do
      if left > 0 and link.same_origin and RELATED[link.rel] then
        push:add(link.path, { as = "fetch", urgency = 4, why = link.rel })
        left = left - 1
      end
    end
  end,
}
