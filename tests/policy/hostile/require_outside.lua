return function()
  require("../../etc/passwd")
end
