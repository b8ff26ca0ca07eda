-- What the operator's command line reads.

-- `lmn audit` shows the last rows of everybody, or of one partner.
create index audit_log_by_time on audit_log (recorded_at, id);
drop index audit_log_by_partner;
create index audit_log_by_partner on audit_log (partner_id, recorded_at, id);
