return function()
  for _ in function() return true end do end
end
