import requests
import time

class APIError(Exception):
    """Custom exception for API errors."""
    def __init__(self, code, message, details=None, trace_id=None):
        self.code = code
        self.message = message
        self.details = details
        self.trace_id = trace_id
        super().__init__(f"{code}: {message}")

def handle_response(response):
    """Handle API response and raise appropriate errors."""
    if response.status_code >= 400:
        error_data = response.json().get('error', {})
        
        raise APIError(
            code=error_data.get('code', 'UNKNOWN_ERROR'),
            message=error_data.get('message', 'Unknown error'),
            details=error_data.get('details'),
            trace_id=error_data.get('trace_id')
        )
    
    return response.json()

def make_request_with_retry(url, headers, data=None, max_retries=3):
    """Make request with comprehensive error handling."""
    for attempt in range(max_retries):
        try:
            response = requests.post(url, json=data, headers=headers)
            return handle_response(response)
            
        except APIError as e:
            # Handle specific error codes
            if e.code == 'RATE_LIMIT_EXCEEDED':
                retry_after = e.details.get('retry_after', 60) if e.details else 60
                time.sleep(retry_after)
                continue
            elif e.code == 'TOKEN_EXPIRED':
                # Refresh token and retry
                headers['Authorization'] = f"Bearer {refresh_token()}"
                continue
            elif e.code in ['INTERNAL_SERVER_ERROR', 'SERVICE_UNAVAILABLE']:
                # Exponential backoff for server errors
                time.sleep(2 ** attempt)
                continue
            else:
                # Non-retryable error
                raise
                
        except requests.exceptions.RequestException as e:
            if attempt == max_retries - 1:
                raise
            time.sleep(2 ** attempt)
    
    raise Exception("Max retries exceeded")
