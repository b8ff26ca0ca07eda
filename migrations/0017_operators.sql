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

-- Lists of the orders of all partners, each sort by an index. In the order of acceptance they are read by their ids, which
-- begin with it, and with a partner by the partner's own indexes.
create index orders_by_update on orders (updated_at, id);
create index orders_by_auction_order on orders (auction_order, id);
-- Done orders of a status by each sort, and by the user at the partner. An order is placed as `proceed`, so these indexes
-- are not maintained when it is placed.
create index orders_done_of_all on orders (status, id)
    where status in ('delivered', 'cancelled', 'failed');
create index orders_done_of_all_by_update on orders (status, updated_at, id)
    where status in ('delivered', 'cancelled', 'failed');
create index orders_done_of_all_by_auction on orders (status, auction_order, id)
    where status in ('delivered', 'cancelled', 'failed');
create index orders_done_by_user on orders (external_user_id)
    where status in ('delivered', 'cancelled', 'failed');

-- The audit of one order. Its own entries are found by the order, the others by their subject.
create index audit_entries_by_subject on audit_entries (subject, recorded_at);
create or replace view audit_log as
select id, recorded_at, actor, partner_id, action, subject, request_id, details, null::uuid as order_id
from audit_entries
union all
select accepted_no, placed_at, placed_by, partner_id, 'order.placed', ulid(id), request_id, '{}', id
from orders
union all
select step.n, made_at, made_by, partner_id,
       case when by <> 'partner' then 'order.advanced'
            when step.status = 'cancelled' then 'order.cancelled'
            else 'order.reported' end,
       ulid(order_id), step.request_id,
       jsonb_build_object('from', coalesce((select status from order_steps as former
                                            where former.order_id = step.order_id and former.n = step.n - 1), 'proceed'),
                          'to', step.status, 'fulfillment_detail', step.fulfillment_detail),
       order_id
from order_steps as step join orders on orders.id = order_id;

-- The feed of changes. A change is read once every transaction that could have made an earlier one has ended, in the order
-- of the transactions, so none appears behind one that was already read. Placing an order takes no lock for it. Changes
-- that are there already come first, those of one order together.
alter table orders add column transaction_id xid8 not null default '0';
alter table orders alter column transaction_id set default pg_current_xact_id();
alter table order_steps add column transaction_id xid8 not null default '0';
alter table order_steps alter column transaction_id set default pg_current_xact_id();
alter table audit_entries
    add column transaction_id xid8 not null default '0',
    -- The order whose auction, price or shipment changed without a step.
    add column order_id uuid;
alter table audit_entries alter column transaction_id set default pg_current_xact_id();
create index orders_by_transaction on orders (transaction_id, id);
create index order_steps_by_transaction on order_steps (transaction_id, order_id, n);
create index audit_entries_by_transaction on audit_entries (transaction_id, order_id, id) where order_id is not null;

-- Older binaries write these tables as before: the defaults fill what they do not name.
update deployment set oldest_binary = oldest_binary;
