-- A documentation site: who reads a chapter reads the next one, so it comes along, last of all. (A
-- long list of chapters belongs into a file: policy.data("chapters.json").)
local chapters = { "/guide/install", "/guide/first-steps", "/guide/policies" }
local after = {}

return {
  api = 1,
  applies = { path = "/guide/*" },
  init = function()
    for i, path in ipairs(chapters) do
      after[path] = chapters[i + 1]
    end
  end,
  on_request = function(req, push)
    push:add("/docs.css", { urgency = 4 })
    push:add("/search.js")
    local following = after[req.path]
    if following and not req.save_data then
      push:add(following, { as = "document", urgency = 7, why = "the next chapter" })
    end
  end,
}
