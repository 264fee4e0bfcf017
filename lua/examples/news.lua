-- A news site: the front page's style and lead picture early, pictures of the rest only as hints,
-- and no pictures at all to who reloads every minute or saves data.
local MAX_PICTURES = 1

return {
  api = 1,
  applies = { path = { "/", "/section/*" } },
  on_request = function(req, push)
    local pictures = 0
    for _, asset in ipairs(assets.of(req.path)) do
      if asset.as ~= "image" then
        push:add(asset.path, { as = asset.as, urgency = asset.blocking and 4 or 5 })
      elseif req.save_data or req.revalidate then
        push:skip(asset.path, "no pictures")
      elseif pictures < MAX_PICTURES then
        pictures = pictures + 1
        push:add(asset.path, { as = "image", urgency = 5, why = "lead" })
      else
        push:hint(asset.path, { as = "image" })
      end
    end
    push:preconnect("https://live.example.com") -- the ticker's socket
  end,
}
