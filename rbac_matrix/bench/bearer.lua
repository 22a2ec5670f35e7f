-- wrk as a ServiceAccount. The token comes from a file, so it is on no command line.
local file = io.open(os.getenv("BENCH_TOKEN_FILE"))
wrk.headers["Authorization"] = "Bearer " .. file:read("*l")
file:close()
local body = os.getenv("BENCH_BODY")
if body ~= "" then
  wrk.method = "POST"
  wrk.body = body
  wrk.headers["Content-Type"] = "application/json"
end
