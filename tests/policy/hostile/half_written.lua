local paths = { "/a.css" }
local function add(push)
  for _, path in ipairs(paths) do push:add(path) end
end
