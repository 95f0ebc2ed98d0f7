-- Confirmations for wrk: the most that a server can take, in a closed loop.
--
--   wrk -t2 -c64 -d10s --latency -s loadtests/confirm.lua \
--       http://127.0.0.1:8080/op/saf/$SECRET/v2/confirm -- meters.csv
--
-- The file's first line names its columns, one of them meter_number; no field may hold a comma.
-- Without a file, one meter that nobody has is paid for, so that every payment becomes a refund.
-- wrk's random numbers are the same at every run: ids begin with the clock, or all but the first
-- run would be repeats. Only this machine is a target; `own` as the last word allows another one.

local letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
local threads = 0

local function base36(number, length)
   local text = ""
   for _ = 1, length do
      local digit = number % 36
      text = letters:sub(digit + 1, digit + 1) .. text
      number = math.floor(number / 36)
   end
   return text
end

function setup(thread)
   thread:set("place", threads)
   threads = threads + 1
end

local function meters_of(name)
   local numbers, column = {}, nil
   for line in io.lines(name) do
      local fields = {}
      for field in (line .. ","):gmatch("([^,]*),") do
         fields[#fields + 1] = field:gsub("%s", "")
      end
      if column == nil then
         for place, field in ipairs(fields) do
            if field == "meter_number" then column = place end
         end
         if column == nil then error(name .. " has no column meter_number") end
      elseif fields[column] ~= nil and fields[column] ~= "" then
         numbers[#numbers + 1] = fields[column]
      end
   end
   return numbers
end

function init(args)
   local here = wrk.host == "localhost" or wrk.host == "::1" or wrk.host:match("^127%.%d+%.%d+%.%d+$")
   if not here and args[#args] ~= "own" then
      error(wrk.host .. " is not this machine; add the word own if it is yours")
   end
   meters = {"00000000000"}
   if args[1] ~= nil and args[1] ~= "own" then meters = meters_of(args[1]) end
   -- Seconds in base 36, and the thread: no two runs or threads share an id.
   prefix = "LW" .. base36(os.time(), 6) .. base36(place, 1)
   serial = 0
   stamp = os.date("!%Y%m%d%H%M%S", os.time() + 3 * 3600)
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   serial = serial + 1
   local meter = meters[(serial * 7919 + place * 104729) % #meters + 1]
   local body = '{"TransactionType":"Pay Bill","TransID":"' .. prefix .. base36(serial, 5)
      .. '","TransTime":"' .. stamp .. '","TransAmount":"500.00","BusinessShortCode":"888880",'
      .. '"BillRefNumber":"' .. meter .. '","InvoiceNumber":"","OrgAccountBalance":"49197.00",'
      .. '"ThirdPartyTransID":"","MSISDN":"2547 ***** 149","FirstName":"ACHIENG","MiddleName":"",'
      .. '"LastName":""}'
   return wrk.format(nil, nil, nil, body)
end

function done(summary, latency, requests)
   local seconds = summary.duration / 1e6
   local bad = summary.errors.status + summary.errors.timeout + summary.errors.read
   io.write(string.format("%.0f confirmations/s acknowledged, %d not acknowledged\n",
      (summary.requests - summary.errors.status) / seconds, bad))
end
