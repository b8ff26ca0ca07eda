-- Events wait for their delivery in queues.
alter table webhook_lanes rename to delivery_queues;
alter table delivery_queues rename constraint webhook_lanes_pkey to delivery_queues_pkey;
alter table delivery_queues rename constraint webhook_lanes_event_unique to delivery_queues_event_unique;
alter table delivery_queues rename constraint webhook_lanes_tries_positive to delivery_queues_tries_positive;
alter table delivery_queues rename constraint webhook_lanes_lease_whole to delivery_queues_lease_whole;
alter index webhook_lanes_due rename to delivery_queues_due;
alter index webhook_lanes_leased rename to delivery_queues_leased;
alter table events rename column lane_id to queue_id;
alter table events rename constraint events_pending_in_a_lane to events_pending_in_a_queue;
alter table delivery_queues rename constraint webhook_lanes_partner_id_fkey to delivery_queues_partner_id_fkey;
alter table delivery_queues rename constraint webhook_lanes_event_id_fkey to delivery_queues_event_id_fkey;
