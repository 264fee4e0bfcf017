return function()
  rawset(table, "insert", nil)
end
