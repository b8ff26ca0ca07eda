-- Events of the type `order.amounts_corrected`. Binaries that do not know migration 19 cannot read them.
update deployment set oldest_binary = 19;

-- Not validated: every existing row satisfies the former, narrower constraint.
alter table events
    drop constraint events_type_known,
    add constraint events_type_known check (type in ('order.status_changed', 'order.fulfillment_updated',
        'order.auction_rescheduled', 'order.price_updated', 'order.re_auctioned', 'order.amounts_corrected',
        'webhook.test')) not valid;
