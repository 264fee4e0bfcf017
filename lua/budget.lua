-- Accepts candidates, in the order they were proposed, while their sizes fit into the page's budget
-- (push.max_bytes of its site, unless max_bytes says less). Put it last in the list.
local max_bytes, max_count

return {
  api = 1,
  args = {
    max_bytes = "size?", -- instead of the site's push.max_bytes
    max_count = "integer?", -- default: any number
  },
  applies = { dest = "*" },
  init = function(args)
    max_bytes, max_count = args.max_bytes, args.max_count or math.huge
  end,
  on_push = function(_, r, push)
    if push.bytes + (r.size or 0) > (max_bytes or push.budget_bytes) then
      return false, "over_budget" -- kept beside the verdict, so that the log says why
    end
    if push.count >= max_count then
      return false, "max_count"
    end
  end,
}
