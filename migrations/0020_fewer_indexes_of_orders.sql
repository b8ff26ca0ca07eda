-- Fewer indexes that an order maintains when it is placed.

-- Bids by their auction: those of a partner whose auction has passed, and those on the vehicles of an auction day. Orders in
-- `acquiring` are included, so one index serves both.
create index orders_bidding_by_auction on orders (partner_id, auction_date)
    where status in ('proceed', 'acquiring') and max_bid_usd is not null;
drop index orders_waiting;

-- Lists of all orders by change or by auction read the done orders of each status by its indexes, and all open ones.
drop index orders_by_update, orders_by_auction_order;

-- Older binaries find the same rows without these indexes.
update deployment set oldest_binary = oldest_binary;
