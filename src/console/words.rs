//! Words of the API in English and Korean: statuses, reasons, sources, roles and others that pages show.

use super::texts::Language;

/// The words, with their wording in English and Korean.
const WORDS: &[(&str, &str, &str)] = &[
    ("proceed", "Proceed", "접수"),
    ("acquiring", "Acquiring", "매입 중"),
    ("secured", "Secured", "낙찰 확정"),
    ("shipping", "Shipping", "운송 중"),
    ("delivered", "Delivered", "인도 완료"),
    ("cancelled", "Cancelled", "취소"),
    ("failed", "Failed", "실패"),
    ("export_processing", "Export processing", "수출 통관 준비"),
    ("awaiting_pickup", "Awaiting pickup", "선적 대기"),
    ("in_transit", "In transit", "해상 운송"),
    ("customs", "Customs", "통관"),
    ("auction_passed", "Auction passed", "경매 경과"),
    ("outbid", "Outbid", "타사 낙찰"),
    (
        "outbid_internally",
        "Outbid by another partner",
        "다른 파트너 낙찰",
    ),
    ("vehicle_unavailable", "Vehicle unavailable", "차량 없음"),
    ("auction_cancelled", "Auction cancelled", "경매 취소"),
    (
        "partner_cancelled",
        "Cancelled by the partner",
        "파트너 취소",
    ),
    (
        "auction_rescheduled_too_soon",
        "Auction moved before the cutoff",
        "경매 앞당김",
    ),
    ("seller_withdrew", "Seller withdrew", "출품자 철회"),
    ("won", "Won", "낙찰"),
    ("withdrawn", "Withdrawn", "출품 철회"),
    ("partner", "Partner", "파트너"),
    ("operator", "Operator", "운영자"),
    ("automatic", "Automatic", "자동"),
    ("dealer", "Dealer", "딜러"),
    ("glovis", "Glovis", "글로비스"),
    ("sk", "SK", "SK"),
    ("aj", "AJ", "AJ"),
    ("lotte", "Lotte", "롯데"),
    ("kcar", "K Car", "케이카"),
    ("pending", "Pending", "대기"),
    ("delivery_skipped", "Not sent", "보내지 않음"),
    ("order.status_changed", "Status changed", "상태 변경"),
    (
        "order.fulfillment_updated",
        "Fulfillment updated",
        "운송 정보 변경",
    ),
    (
        "order.auction_rescheduled",
        "Auction rescheduled",
        "경매 일정 변경",
    ),
    ("order.price_updated", "Price updated", "가격 변경"),
    ("order.re_auctioned", "Re-auctioned", "재출품"),
    ("order.amounts_corrected", "Amounts corrected", "금액 정정"),
    ("webhook.test", "Test", "시험"),
    ("timeout", "no response in time", "응답 시간 초과"),
    ("tls", "TLS failed", "TLS 실패"),
    ("dns", "name not found", "이름 확인 실패"),
    ("refused", "Refused", "거절"),
    ("address_not_public", "address not public", "비공개 주소"),
    ("connection", "connection failed", "연결 실패"),
    ("status", "error status", "오류 상태"),
    ("endpoint_gone", "The endpoint responded 410", "410 응답"),
    (
        "failing_for_five_days",
        "It failed for five days",
        "5일간 실패",
    ),
    ("viewer", "viewer", "조회"),
    ("trader", "trader", "매입"),
    ("logistics", "logistics", "물류"),
    ("admin", "admin", "관리자"),
    ("active", "Active", "사용 중"),
    ("expired", "Expired", "만료"),
    ("revoked", "Revoked", "폐기"),
    ("done", "Done", "완료"),
    ("unchanged", "Unchanged", "변경 없음"),
    ("created_desc", "Newest first", "최근 접수순"),
    ("created_asc", "Oldest first", "오래된 접수순"),
    ("auction_date_asc", "Next auction first", "경매일순"),
    ("updated_desc", "Latest change first", "최근 변경순"),
];

/// Returns the wording of a word in a language; `None` for a word that pages show as it is.
pub(crate) fn translate(word: &str, language: Language) -> Option<&'static str> {
    let (_, english, korean) = WORDS.iter().find(|(it, ..)| *it == word)?;
    Some(match language {
        Language::English => *english,
        Language::Korean => *korean,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        events::model::{DeliveryError, DeliveryStatus, EventType},
        operator::rows::RowOutcome,
        operators::model::Role,
        orders::{
            model::AuctionEnd,
            state_machine::{
                CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner,
            },
            store::Sort,
        },
        values::string_enum::StringEnum,
        vehicles::model::Source,
        webhooks::model::DisabledReason,
    };

    fn words<W: StringEnum>() -> Vec<&'static str> {
        W::ALL.iter().map(|it| it.as_str()).collect()
    }

    #[test]
    fn every_word_that_pages_show_is_in_both_languages() {
        let sorts = Sort::ALL.iter().map(|(name, _)| *name).collect();
        for word in [
            words::<OrderStatus>(),
            words::<FulfillmentDetail>(),
            words::<FailureReason>(),
            words::<CancellationReason>(),
            words::<Owner>(),
            words::<AuctionEnd>(),
            words::<Source>(),
            words::<EventType>(),
            words::<DeliveryStatus>(),
            words::<DeliveryError>(),
            words::<DisabledReason>(),
            words::<Role>(),
            words::<RowOutcome>(),
            sorts,
            vec!["active", "expired", "revoked"],
        ]
        .concat()
        {
            for language in Language::ALL {
                assert!(translate(word, *language).is_some(), "{word}");
            }
        }
    }

    #[test]
    fn every_word_is_listed_once() {
        let words: HashSet<_> = WORDS.iter().map(|(word, ..)| word).collect();
        assert_eq!(words.len(), WORDS.len());
    }
}
