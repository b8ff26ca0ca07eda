//! The language of the pages, chosen by a cookie or by `Accept-Language`, and their texts in English and Korean. Each text
//! is a field, so that no page can show one that a language lacks.

use axum::http::{HeaderMap, header};

use super::session::cookie;
use crate::values::string_enum::{StringEnum, string_enum};

/// The cookie of the chosen language.
pub(crate) const LANGUAGE_COOKIE: &str = "lmn_language";

string_enum! {
    /// A language of the pages.
    Language {
        /// English.
        English = "en",
        /// Korean.
        Korean = "ko",
    }
}

impl Language {
    /// Returns the language that a request asks for; English if it asks for neither.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(Self::parse);
        chosen
            .or_else(|| {
                let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
                // Browsers send the languages in the order of preference.
                let mut tags = accepted.split(',').map(str::trim);
                tags.find_map(|tag| Self::parse(tag.get(..2)?))
            })
            .unwrap_or(Self::English)
    }

    /// Returns the texts of the pages.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
        }
    }

    /// Returns the other language.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::English => Self::Korean,
            Self::Korean => Self::English,
        }
    }
}

/// Declares the texts: their names, and their wording in English and Korean.
macro_rules! texts {
    ($($name:ident: $english:literal, $korean:literal;)*) => {
        /// The texts of the pages in one language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)*
        }

        /// The texts in English.
        pub(crate) static ENGLISH: Texts = Texts { $($name: $english,)* };
        /// The texts in Korean.
        pub(crate) static KOREAN: Texts = Texts { $($name: $korean,)* };

        /// The names of all texts, with both wordings.
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $korean),)*];
    };
}

texts! {
    console: "LMN console", "LMN 콘솔";
    pages: "Pages", "페이지";
    skip: "Skip to content", "본문으로 건너뛰기";
    other_language: "한국어", "English";
    other_language_tag: "ko", "en";
    sign_out: "Sign out", "로그아웃";
    sending: "Sending…", "보내는 중…";
    done_notice: "Saved.", "저장했습니다.";
    next_page: "Next page", "다음 페이지";
    back: "Back", "돌아가기";
    all: "All", "전체";
    show: "Show", "보기";
    reset: "Reset", "초기화";
    save: "Save", "저장";
    add: "Add", "추가";
    remove: "Remove", "제거";
    copy: "Copy", "복사";
    sure: "Are you sure? This cannot be undone here.", "계속할까요? 이 화면에서는 되돌릴 수 없습니다.";
    sign_in: "Sign in", "로그인";
    sign_in_text: "Enter your operator token. `lmn operator add` prints one.", "운영자 토큰을 입력하세요. `lmn operator add` 명령이 토큰을 출력합니다.";
    sign_in_refused: "This token is not accepted. It is wrong, revoked or expired.", "토큰을 사용할 수 없습니다. 잘못되었거나 폐기되었거나 만료되었습니다.";
    token: "Token", "토큰";
    error: "This was not done", "처리하지 않았습니다";
    error_text: "Nothing was changed. Go back, and what you entered is still there.", "아무것도 바뀌지 않았습니다. 뒤로 가면 입력한 내용이 남아 있습니다.";
    failed: "The service failed", "서비스 오류가 발생했습니다";
    failed_text: "It is not known whether anything was changed. Look again before you repeat it; sending the same form twice does nothing twice.", "처리 여부를 알 수 없습니다. 다시 시도하기 전에 확인하세요. 같은 양식을 두 번 보내도 한 번만 처리됩니다.";
    stale: "This form is out of date", "양식이 오래되었습니다";
    stale_text: "It was opened in another session, or on another site. Nothing was changed. Open the page again.", "다른 세션이나 다른 사이트에서 연 양식입니다. 아무것도 바뀌지 않았습니다. 페이지를 다시 여세요.";
    outcomes: "Outcomes", "처리 결과";
    outcomes_empty: "There was nothing to do.", "처리할 항목이 없었습니다.";
    outcome: "Outcome", "결과";
    vehicle_or_order: "Vehicle or order", "차량 또는 주문";
    reason: "Reason", "사유";
    new_key: "New API key", "새 API 키";
    new_key_text: "The key is shown only now. Give it to the partner by a secure way.", "키는 지금만 표시됩니다. 안전한 방법으로 파트너에게 전달하세요.";
    new_key_shown: "This key was shown already. Rotate it if it was not kept.", "이미 표시된 키입니다. 보관하지 않았다면 교체하세요.";
    old_key_until: "The old key works until", "기존 키 만료";
    today: "Today", "오늘";
    waiting: "Waiting for us", "처리 대기";
    tomorrow: "Tomorrow’s bid sheet", "내일 입찰표";
    to_acquire: "orders closed, to be acquired", "마감된 주문, 매입 시작 대기";
    to_buy: "orders on buy-now vehicles", "즉시 구매 주문";
    without_result: "auctions without a result", "결과 미입력 경매";
    to_ship: "orders to ship", "선적 대기 주문";
    overdue_deliveries: "orders shipping for 90 days or more", "90일 이상 운송 중인 주문";
    failing_endpoints: "webhook endpoints that fail", "실패 중인 웹훅";
    last_day: "Last 24 hours", "최근 24시간";
    orders_per_hour: "Orders placed per hour", "시간당 접수 주문";
    errors_per_hour: "Refused or failed requests per hour", "시간당 거절·실패 요청";
    delivery_delay: "Undelivered events by age", "미전달 이벤트 경과 시간";
    numbers: "Numbers", "수치";
    bid_sheet: "Bid sheet", "입찰표";
    auction_day: "Auction day", "경매일";
    source: "Source", "경매장";
    sheet_empty: "Nobody has ordered a vehicle that is auctioned on this day.", "이날 경매 차량에 대한 주문이 없습니다.";
    vehicles: "vehicles", "대";
    closed: "closed", "마감";
    acquire: "Acquire", "매입 시작";
    acquire_text: "Orders whose cutoff has passed are taken over: their partners can no longer cancel them.", "마감이 지난 주문을 인수합니다. 이후 파트너는 취소할 수 없습니다.";
    lot: "Lot", "출품";
    vehicle: "Vehicle", "차량";
    auction_time: "Auction", "경매";
    up_to: "Bid up to", "최고 입찰 한도";
    second_bid: "Second bid", "차순위";
    leader: "For", "주문 파트너";
    cutoff: "Cutoff", "마감";
    final_bids: "final", "확정";
    open_until: "open until", "접수 중, 마감";
    result: "Result", "결과";
    enter: "Enter", "입력";
    price_usd: "Price (USD)", "낙찰가 (USD)";
    fee_usd: "Fee (USD)", "수수료 (USD)";
    enter_results: "Enter results", "경매 결과 입력";
    results_text: "One line a vehicle; result is won, outbid, cancelled or withdrawn. Price and fee only with won. A wrong line is refused, and the others are recorded.", "한 줄에 차량 한 대입니다. result는 won, outbid, cancelled, withdrawn 중 하나이며 가격과 수수료는 won에만 씁니다. 잘못된 줄만 거절되고 나머지는 기록됩니다.";
    record_results: "Record results", "결과 기록";
    record_result: "Record result", "결과 기록";
    order: "Order", "주문";
    orders: "Orders", "주문";
    status: "Status", "상태";
    partner: "Partner", "파트너";
    bid: "Bid", "입찰가";
    changed: "Changed", "변경";
    highest: "highest", "최고가";
    search: "Search", "검색";
    search_hint: "Order, VIN, plate, vehicle or user", "주문, VIN, 번호판, 차량, 사용자";
    auction_from: "Auction from", "경매 시작일";
    auction_to: "to", "종료일";
    sort: "Sort", "정렬";
    overdue: "overdue", "지연";
    orders_none_match: "No order matches.", "조건에 맞는 주문이 없습니다.";
    orders_empty: "No partner has ordered anything yet.", "아직 주문이 없습니다.";
    external_user: "User at the partner", "파트너 사용자";
    license_plate: "License plate", "번호판";
    highest_is: "highest is", "최고가";
    buy_now: "buy now", "즉시 구매";
    vessel: "Vessel", "선박";
    bill_of_lading: "Bill of lading", "선하증권";
    route: "Route", "항로";
    placed: "Placed", "접수";
    next_steps: "Next steps", "다음 단계";
    nothing_to_do: "There is nothing to do here for your role.", "이 역할로 처리할 단계가 없습니다.";
    cancel_order: "Cancel order", "주문 취소";
    secure: "Secure", "낙찰 확정";
    fail_order: "Fail order", "주문 실패 처리";
    begin_shipping: "Begin shipping", "운송 시작";
    detail: "Detail", "세부 상태";
    shipment: "Shipment", "선적";
    port_of_loading: "Port of loading", "선적항";
    port_of_discharge: "Port of discharge", "양하항";
    correct_amounts: "Correct amounts", "금액 정정";
    change_vehicle: "Vehicle", "차량";
    new_auction_date: "New auction time (Korea)", "새 경매 시각 (한국)";
    reschedule: "Reschedule", "일정 변경";
    listing_price: "Listing price (USD)", "판매가 (USD)";
    change_price: "Change price", "가격 변경";
    withdraw: "Withdraw", "출품 철회";
    restore: "Restore", "복원";
    history: "History", "이력";
    by: "By", "처리자";
    occurred: "Occurred", "발생";
    notes: "Notes", "메모";
    events: "Events", "이벤트";
    events_empty: "There are no such events.", "해당 이벤트가 없습니다.";
    event: "Event", "이벤트";
    delivery: "Delivery", "전달";
    deliveries: "Deliveries", "전달 내역";
    attempts: "Attempts", "시도";
    next_attempt: "next attempt", "다음 시도";
    action: "Action", "작업";
    replay: "Send again", "다시 보내기";
    when: "When", "시각";
    request: "Request", "요청";
    details: "Details", "상세";
    snapshot: "The vehicle as it was ordered", "주문 당시 차량";
    shipping: "Shipping", "선적";
    late_orders: "Late: shipping for 90 days or more", "지연: 90일 이상 운송 중";
    late_empty: "No delivery is late.", "지연된 운송이 없습니다.";
    due_orders: "Due: secured, to be shipped", "대기: 낙찰 확정, 선적 전";
    due_empty: "Nothing is to be shipped.", "선적할 주문이 없습니다.";
    enter_shipments: "Enter shipments", "선적 정보 입력";
    shipments_text: "One line an order. A secured order begins to ship; an empty value leaves the detail as it is. Times as 2026-04-20T13:00:00+09:00.", "한 줄에 주문 하나입니다. 낙찰 확정 주문은 운송이 시작되며 빈 값은 그대로 둡니다. 시각은 2026-04-20T13:00:00+09:00 형식입니다.";
    record_shipments: "Record shipments", "선적 기록";
    shipping_orders: "Shipping, latest change first", "운송 중, 최근 변경순";
    all_shipping: "All orders that ship", "운송 중인 주문 전체";
    shipping_empty: "Nothing ships.", "운송 중인 주문이 없습니다.";
    partners: "Partners", "파트너";
    name: "Name", "이름";
    contact: "Contact", "연락처";
    contact_empty: "No contact for reminders.", "알림 연락처가 없습니다.";
    since: "Since", "시작";
    links: "Links", "바로가기";
    partners_empty: "There is no partner yet.", "아직 파트너가 없습니다.";
    add_partner: "Add partner", "파트너 추가";
    keys: "API keys", "API 키";
    key_prefix: "Prefix", "접두어";
    expires: "Expires", "만료";
    last_used: "Last used", "마지막 사용";
    rotate: "Rotate", "교체";
    revoke: "Revoke", "폐기";
    issue_key: "Issue key", "키 발급";
    keys_empty: "The partner has no key yet.", "아직 키가 없습니다.";
    allowlist: "Allowlist", "허용 목록";
    allowlist_empty: "Empty: in production no address is allowed, in the sandbox every address is.", "비어 있음: 운영에서는 모든 주소가 차단되고 샌드박스에서는 모두 허용됩니다.";
    network: "Address or network", "주소 또는 대역";
    limits: "Rate limits", "호출 한도";
    reads: "Reads", "조회";
    writes: "Writes", "쓰기";
    burst: "burst", "순간 한도";
    default_limit: "the deployment’s limit", "기본 한도";
    set_limit: "Set a limit", "한도 설정";
    limit: "Requests", "요청 수";
    window_seconds: "Per seconds", "기간(초)";
    endpoint: "Webhook endpoint", "웹훅 주소";
    endpoint_empty: "The partner has no webhook endpoint.", "웹훅 주소가 없습니다.";
    enabled: "enabled", "사용 중";
    disabled: "disabled", "중지됨";
    webhooks: "Webhooks", "웹훅";
    webhooks_empty: "No partner has a webhook endpoint.", "등록된 웹훅 주소가 없습니다.";
    failing_since: "failing since", "실패 시작";
    waiting_orders: "Orders waiting", "대기 주문";
    requests: "Requests", "요청";
    request_id: "Request id", "요청 ID";
    code: "Code", "코드";
    operation: "Operation", "작업";
    client: "Address", "주소";
    requests_none_match: "No logged request matches. Requests are kept for some days; reads that succeeded are not logged.", "조건에 맞는 요청이 없습니다. 요청은 일정 기간만 보관되며 성공한 조회는 기록되지 않습니다.";
    requests_empty: "Nothing was refused, failed or written yet.", "거절·실패·쓰기 요청이 아직 없습니다.";
    audit: "Audit", "감사 기록";
    audit_empty: "No change matches.", "조건에 맞는 변경이 없습니다.";
    subject: "Subject", "대상";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(accepted: &'static str, cookies: &'static str) -> Language {
        let accepted = (header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
        let cookies = (header::COOKIE, cookies.parse().unwrap());
        Language::of(&HeaderMap::from_iter([accepted, cookies]))
    }

    #[test]
    fn cookie_takes_precedence_over_the_preferred_languages() {
        for (accepted, cookies, expected) in [
            ("", "", Language::English),
            ("ko-KR,ko;q=0.9,en;q=0.8", "", Language::Korean),
            ("en-GB, ko", "", Language::English),
            ("fr, ko;q=0.5", "", Language::Korean),
            ("ko", "lmn_language=en", Language::English),
            ("en", "a=b; lmn_language=ko", Language::Korean),
            ("ko", "lmn_language=xx", Language::Korean),
        ] {
            assert_eq!(
                language(accepted, cookies),
                expected,
                "{accepted} {cookies}"
            );
        }
    }

    #[test]
    fn every_text_is_in_both_languages() {
        let is_korean = |text: &str| text.chars().any(|it| ('가'..='힣').contains(&it));
        for (name, english, korean) in ALL {
            match *name {
                "other_language" | "other_language_tag" => assert_ne!(english, korean),
                _ => assert!(is_korean(korean) && !is_korean(english), "{name}"),
            }
            assert!(!english.trim().is_empty(), "{name}");
        }
    }
}
