-- Accepts pushes, in the order they were proposed, while their sizes fit into the page's budget:
-- push.budget_bytes, what the connection carries while it would be idle (push.budget of the config),
-- or max_bytes where that is less. The server keeps to its own budget without this policy, too; this
-- one is for less than that. Hints take no room. Put it last in the list.
local max_bytes, max_count

return {
  api = 1,
  args = {
    max_bytes = "size?", -- of one page's pushes; never more than the budget
    max_count = "integer?", -- default: any number
  },
  applies = { dest = "*" },
  init = function(args)
    max_bytes, max_count = args.max_bytes or math.huge, args.max_count or math.huge
  end,
  on_push = function(_, r, push)
    if r.kind == "hint" then
      return
    end
    if push.bytes + (r.size or 0) > math.min(max_bytes, push.budget_bytes) then
      return false, "over_budget" -- kept beside the verdict, so that the log says why
    end
    if push.count >= max_count then
      return false, "max_count"
    end
  end,
}
