return function()
  policy.data("/etc/passwd")
end
