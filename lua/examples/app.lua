-- A single-page application: one shell for all routes, the chunk of the route asked for, and
-- the data that it begins with. On a slow connection the shell comes alone.
local chunks = { ["/inbox*"] = "inbox", ["/calendar*"] = "calendar", ["/settings*"] = "settings" }

return {
  api = 1,
  args = { slow = "duration?" },
  on_request = function(req, push)
    push:add("/app/shell.css", { urgency = 4 })
    push:add("/app/shell.js", { urgency = 4 })
    for pattern, chunk in pairs(chunks) do
      if util.glob(pattern, req.path) then
        push:add("/app/" .. chunk .. ".js", { why = "route" })
        push:add("/data/" .. chunk .. ".json", { as = "fetch", urgency = 6, why = "data" })
      end
    end
  end,
  on_push = function(req, r)
    if (req.client.rtt_ms or 0) > (policy.args.slow or 400) and r.why then
      return "hint", "slow connection"
    end
  end,
}
