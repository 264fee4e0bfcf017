-- Accepts pushes, in the order they were proposed, while their sizes fit into the page's budget:
-- push.budget_bytes, what the connection carries while it would be idle (push.budget of the
-- config), or max_bytes where that is less. The server keeps to its own budget without this policy,
-- too; this one is for less than that. What clients mostly cancel becomes a hint; hints take no
-- room. Put it last in the list.
local max_bytes, max_count, max_cancelled

return {
  api = 1,
  args = {
    max_bytes = "size?", -- of one page's pushes; never more than the budget
    max_count = "integer?", -- default: any number
    max_cancelled = "number?", -- share of cancelled pushes, 0 to 1; default: 0.5
  },
  applies = { dest = "*" },
  init = function(args)
    max_bytes, max_count = args.max_bytes or math.huge, args.max_count or math.huge
    max_cancelled = args.max_cancelled or 0.5
    if max_cancelled < 0 or max_cancelled > 1 then
      error("max_cancelled is a share, from 0 to 1; " .. max_cancelled .. " is not")
    end
  end,
  on_push = function(_, r, push)
    if r.kind == "hint" then
      return
    end
    if (stats.cancel_ratio(r.path) or 0) > max_cancelled then
      return "hint", "mostly_cancelled"
    end
    if push.bytes + (r.size or 0) > math.min(max_bytes, push.budget_bytes) then
      return false, "over_budget" -- kept beside the verdict, so that the log says why
    end
    if push.count >= max_count then
      return false, "max_count"
    end
  end,
}
