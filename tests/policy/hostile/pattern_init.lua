local s = ("a"):rep(60)
local p = (".-"):rep(12) .. "b"
return { api = 1, init = function() return s:find(p) end }
