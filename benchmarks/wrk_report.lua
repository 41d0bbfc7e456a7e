-- Prints wrk's totals as one line of JSON, the last line of its output. The text that wrk prints by
-- itself is rounded and changes units. A script without request() or response() costs wrk nothing.
function done(summary, latency, requests)
    local errors = summary.errors
    print(string.format(
        '{"requests": %d, "microseconds": %d, "p99_microseconds": %d, "errors": %d}',
        summary.requests,
        summary.duration,
        latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout
    ))
end

-- An argument behind the URL is what to send by POST.
function init(arguments)
    if arguments[1] then
        wrk.method = "POST"
        wrk.body = arguments[1]
    end
end
