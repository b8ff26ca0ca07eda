-- LMN's people who use the operator API, and the tokens by which they authenticate.

create domain operator_role as text
    constraint operator_role_known check (value in ('viewer', 'trader', 'logistics', 'admin'));

create table operators (
    id uuid not null,
    -- Recorded as the actor of this operator's changes in the audit log.
    name text not null,
    role operator_role not null,
    -- The SHA-256 of the token, which itself is stored nowhere.
    digest bytea not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint operators_pkey primary key (id),
    constraint operators_name_length check (char_length(name) between 1 and 64),
    constraint operators_digest_length check (octet_length(digest) = 32),
    constraint operators_digest_unique unique (digest)
);

-- A name can be given again after its operator was revoked.
create unique index operators_one_name on operators (name) where revoked_at is null;

comment on column idempotency_keys.partner_id is 'The partner or the operator that sent the key.';
