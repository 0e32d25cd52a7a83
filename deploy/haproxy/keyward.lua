-- Asks keyward whether a request may pass: `http-request lua.keyward`.
--
-- Reads  txn.keyward_policy  what the route demands, as keyward's forward-auth
--                            takes it in its query; "" if keyward has the routes
--        txn.keyward_open    true: pass on what could not be decided
-- Sets   txn.keyward         "allowed", or "open" if it could not be decided;
--                            unset is a no, whatever happened in here
--        txn.keyward_ratelimit, txn.keyward_ratelimit_policy
-- and the identity headers of the request. Denials are answered from here.
--
-- Made for HAProxy 2.6, which has no arguments for lua-load: the address comes
-- from the environment, by `setenv` in the section `global`.

local ADDRESS = os.getenv("KEYWARD_ASK")
if not ADDRESS then
    error("KEYWARD_ASK is not set: say in `global` where the frontend for asking keyward is")
end

-- Longer than all that may pass behind ADDRESS: HAProxy's client would ask again.
local PATIENCE_MS = 5000

-- HAProxy 2.6 copies a request's header lines into a table of 101 without
-- looking (src/hlua.c, hlua_httpclient_table_to_hdrs), and we add some.
local MOST_HEADERS = 90

local IDENTITY = {
    "x-keyward-key-id",
    "x-keyward-principal",
    "x-keyward-workspace",
    "x-keyward-environment",
    "x-keyward-scopes",
}

-- What a client is told of a denial.
local TOLD = {
    "content-type",
    "www-authenticate",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
}

-- What is about the connection or the body, and not about who asks.
local NOT_ASKED = {
    ["connection"] = true,
    ["content-length"] = true,
    ["expect"] = true,
    ["host"] = true,
    ["keep-alive"] = true,
    ["proxy-connection"] = true,
    ["te"] = true,
    ["trailer"] = true,
    ["transfer-encoding"] = true,
    ["upgrade"] = true,
}

-- What there is to say when keyward said nothing.
local UNDECIDED = '{"error":"unavailable","message":"The API key could not be checked. Try again in a moment."}'

local function first(headers, name)
    local values = headers and headers[name]
    return values and values[0]
end

-- The headers to ask with, or nil if there are too many.
local function question(txn, sent)
    local headers, lines = {}, 0
    for name, values in pairs(sent) do
        if not NOT_ASKED[name] then
            headers[name] = values
            for _ in pairs(values) do
                lines = lines + 1
            end
        end
    end
    if lines > MOST_HEADERS then
        return nil
    end
    headers["host"] = { "keyward" }
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-host"] = { first(sent, "host") }
    -- Raw, as the client sent it, with the query.
    headers["x-forwarded-uri"] = { txn.sf:pathq() }
    local source = txn.sf:src()
    if source ~= "" then
        headers["x-forwarded-for"] = { source }
    end
    return headers
end

local function is_grpc(sent)
    local kind = first(sent, "content-type")
    return kind ~= nil and kind:lower():sub(1, 16) == "application/grpc"
end

-- gRPC clients read the status from a header; to HTTP all is well.
local function grpc_denial(status, headers)
    local by_status = { [401] = "16", [403] = "7", [429] = "8", [500] = "13" }
    return {
        status = 200,
        headers = {
            ["content-type"] = { "application/grpc" },
            ["grpc-status"] = { first(headers, "grpc-status") or by_status[status] or "14" },
            ["grpc-message"] = { first(headers, "grpc-message") or "access was not granted" },
            ["retry-after"] = { first(headers, "retry-after") },
            ["ratelimit"] = { first(headers, "ratelimit") },
            ["ratelimit-policy"] = { first(headers, "ratelimit-policy") },
        },
    }
end

local function http_denial(response)
    local headers = {}
    for _, name in ipairs(TOLD) do
        headers[name] = response.headers[name]
    end
    return { status = response.status, headers = headers, body = response.body }
end

-- Answers the client, and ends what HAProxy does for this request.
local function deny(txn, sent, response)
    local denial
    if is_grpc(sent) then
        denial = grpc_denial(response.status, response.headers)
    else
        denial = http_denial(response)
    end
    txn:done(txn:reply(denial))
end

local function allow(txn, headers)
    for _, name in ipairs(IDENTITY) do
        local value = first(headers, name)
        if value then
            txn.http:req_set_header(name, value)
        else
            txn.http:req_del_header(name)
        end
    end
    for _, name in ipairs({ "ratelimit", "ratelimit-policy" }) do
        local value = first(headers, name)
        if value then
            txn:set_var("txn.keyward_" .. name:gsub("-", "_"), value)
        end
    end
    txn:set_var("txn.keyward", "allowed")
end

local function undecided(txn, sent, response)
    if txn:get_var("txn.keyward_open") then
        txn:set_var("txn.keyward", "open")
        return
    end
    -- keyward's own words, or ours: HAProxy's pages are for browsers.
    if first(response.headers, "content-type") ~= "application/json" then
        response.headers = {
            ["content-type"] = { [0] = "application/json" },
            ["retry-after"] = { [0] = "1" },
        }
        response.body = UNDECIDED
    end
    if not first(response.headers, "grpc-message") then
        response.headers["grpc-message"] = { [0] = "The API key could not be checked. Try again in a moment." }
    end
    response.status = 503
    deny(txn, sent, response)
end

local function keyward(txn)
    local sent = txn.http:req_get_headers()
    local headers = question(txn, sent)
    if not headers then
        deny(txn, sent, { status = 431, headers = {} })
        return
    end
    local response = core.httpclient():get({
        url = "http://" .. ADDRESS .. "/forward-auth?" .. txn:get_var("txn.keyward_policy"),
        headers = headers,
        timeout = PATIENCE_MS,
    })
    local status = response.status
    if status == 200 then
        allow(txn, response.headers)
    elseif status >= 400 and status <= 500 then
        -- 500: what the route demands does not parse. It stays closed.
        deny(txn, sent, response)
    else
        undecided(txn, sent, response)
    end
end

core.register_action("keyward", { "http-req" }, keyward)
