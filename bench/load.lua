-- Makes wrk send what a work asks for and report its figures as one line of JSON, in microseconds.

function init(args)
  local post_bytes = tonumber(args[1]) or 0
  if post_bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", post_bytes)
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
