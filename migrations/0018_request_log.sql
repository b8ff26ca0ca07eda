-- Requests that were refused, that failed or that wrote, for LMN's people and for the partner who sent them. Servers insert
-- them in batches after the response; a job deletes old ones.

create table requests (
    -- The 12 bytes of the id: it is in every index, and a placed order is one row.
    request_id bytea primary key,
    at timestamptz not null,
    -- Null if the request came without an accepted key. No foreign key: a batch that was gathered must not be refused.
    partner_id uuid,
    key_prefix text,
    -- The method, and the path with names in place of its values.
    operation text not null,
    status smallint not null,
    -- Null if the request succeeded.
    code text collate "C",
    details json,
    duration_ms integer not null,
    client_address inet not null
);

-- One index for each list: of all requests, of a partner, of a code, of both. The conditions on `status`, `duration_ms` and
-- `operation` always hold. Only the statements of one list repeat the condition of its index, so that the planner never walks
-- the index of another list, through requests of which few or none match. A request that succeeded has no code and is in the
-- first two indexes only. The first also finds the oldest requests, which are deleted.
create index requests_by_time on requests (at, request_id) where status > 0;
create index requests_by_partner on requests (partner_id, at, request_id)
    where partner_id is not null and duration_ms >= 0;
create index requests_by_code on requests (code, at, request_id) where code is not null and operation <> '';
create index requests_by_partner_and_code on requests (partner_id, code, at, request_id)
    where partner_id is not null and code is not null;
