-- Read by wrk (benchmark/http_load.py). Each thread has one connection, so that an answer belongs to the thread's last
-- request, and every answer is compared with the row that was asked for. Times are this script's own: wrk corrects its
-- latencies for a constant rate of arrival, which a closed loop does not have.

local ffi = require("ffi")
ffi.cdef([[
typedef struct { long seconds; long nanoseconds; } benchmark_time;
int clock_gettime(int clock, benchmark_time *time);
]])

local CLOCK_REALTIME = 0
local CLOCK_MONOTONIC = 1
local clock = ffi.new("benchmark_time")
local threads = {}
local requests, expected = {}, {}
local chosen, sent_us, counted_from_us, warm_up_us, key_mark
local next_key

latencies = {}
wrong = 0

local function now_us()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, clock)
    return tonumber(clock.seconds) * 1e6 + tonumber(clock.nanoseconds) / 1e3
end

local function read_exchanges(path)
    local file = assert(io.open(path, "rb"))
    for request, fragment in file:read("*a"):gmatch("([^%z]*)%z([^%z]*)%z") do
        requests[#requests + 1] = request
        expected[#expected + 1] = fragment
    end
    file:close()
end

function setup(thread)
    threads[#threads + 1] = thread
    thread:set("number", #threads)
end

function init(args)
    read_exchanges(args[1])
    math.randomseed(tonumber(args[2]) + number)
    warm_up_us = tonumber(args[3])
    key_mark = args[4]
end

local function first_key()
    ffi.C.clock_gettime(CLOCK_REALTIME, clock)
    local hundredths = math.floor(tonumber(clock.seconds) * 100 + tonumber(clock.nanoseconds) / 1e7) % 1e7
    return 1e14 + hundredths * 66e6 + number * 1e6
end

-- Puts a key that is new each time where its mark stands; the same keys as those of shapes.py, Keys.
local function with_new_key(text)
    next_key = (next_key or first_key()) + 1
    return (text:gsub(key_mark, string.format("%.0f", next_key)))
end

function request()
    chosen = math.random(#requests)
    local text = with_new_key(requests[chosen])
    sent_us = now_us()
    counted_from_us = counted_from_us or sent_us + warm_up_us
    return text
end

function response(status, headers, body)
    local received_us = now_us()
    if status ~= 200 or not body:find(expected[chosen], 1, true) then
        wrong = wrong + 1
    elseif received_us >= counted_from_us then
        -- The keys are text because wrk's thread:get() copies no table with other keys.
        local latency = string.format("%d", received_us - sent_us)
        latencies[latency] = (latencies[latency] or 0) + 1
    end
end

function done(summary)
    print("duration_us " .. summary.duration)
    for kind, count in pairs(summary.errors) do
        -- Statuses are among the wrong answers already.
        if kind ~= "status" then
            print("failed " .. count .. " " .. kind)
        end
    end
    for _, thread in ipairs(threads) do
        print("wrong " .. thread:get("wrong"))
        for latency, count in pairs(thread:get("latencies")) do
            print("latency " .. latency .. " " .. count)
        end
    end
end
