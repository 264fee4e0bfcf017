-- Written from policy/api.def by build/tests/policy_api; changes made here are lost.
-- The globals of a policy: what is not here is not in its sandbox either.
stds.herald = {
  read_globals = {
    "require",
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    string = { fields = {
      "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse",
      "sub", "upper",
    } },
    table = { fields = {
      "concat", "insert", "maxn", "move", "remove", "sort",
    } },
    math = { fields = {
      "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod",
      "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "sin",
      "sinh", "sqrt", "tan", "tanh",
    } },
    bit = { fields = {
      "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift", "tobit",
      "tohex",
    } },
    policy = { fields = {
      "name", "version", "args", "data", "manifest",
    } },
    assets = { fields = {
      "of",
    } },
    stats = { fields = {
      "accept_ratio", "cancel_ratio", "rerequest_ratio", "waste_bytes",
    } },
    learn = { fields = {
      "next", "note",
    } },
    shared = { other_fields = true },
    util = { fields = {
      "glob", "bucket",
    } },
    log = { fields = {
      "info",
    } },
  },
}
std = "herald"
max_line_length = 100
exclude_files = { "lua/meta" }
