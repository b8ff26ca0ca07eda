// Lists, places, repeats, cancels and sets an endpoint, with the Go client of openapi-generator.
//
// Usage: generated URL API_KEY KEY…, five keys that are UUIDs.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	lmn "generated/client"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must(holds bool, what string) {
	if !holds {
		log.Fatal(what)
	}
}

// openLot finds a lot of two sources that can be ordered, and that has not been ordered yet.
func openLot(ctx context.Context, client *lmn.APIClient) lmn.VehicleSummary {
	placed, _, err := client.OrdersAPI.ListOrders(ctx).Limit(200).Execute()
	check(err)
	ordered := map[string]bool{}
	for _, order := range placed.Data {
		ordered[order.VehicleId] = true
	}
	list := client.VehiclesAPI.ListVehicles(ctx).Source([]string{"glovis", "sk"})
	found, _, err := list.AuctionStatus([]string{"upcoming"}).Orderable("true").Limit(200).Execute()
	check(err)
	sources, free := map[string]bool{}, []lmn.VehicleSummary{}
	for _, lot := range found.Data {
		sources[lot.Source] = true
		if !ordered[lot.Id] {
			free = append(free, lot)
		}
	}
	must(len(sources) == 2 && len(free) > 0, "both sources are listed")
	return free[0]
}

func main() {
	url, apiKey, keys := os.Args[1], os.Args[2], os.Args[3:]
	configuration := lmn.NewConfiguration()
	configuration.Servers = lmn.ServerConfigurations{{URL: url}}
	configuration.AddDefaultHeader("x-api-key", apiKey)
	client, ctx := lmn.NewAPIClient(configuration), context.Background()

	lot := openLot(ctx, client)
	wish := *lmn.NewCreateOrder(lot.Id)
	wish.SetMaxBidAmountUsd(lot.Pricing.ListingUsd)
	place := func(key string) (*lmn.PlacedOrder, int, []byte, error) {
		order, response, err := client.OrdersAPI.CreateOrder(ctx).IdempotencyKey(key).CreateOrder(wish).Execute()
		body, _ := io.ReadAll(response.Body)
		return order, response.StatusCode, body, err
	}
	first, status, body, err := place(keys[0])
	check(err)
	must(status == 201 && first.Status == "proceed", "an order is placed")
	_, status, again, err := place(keys[0])
	check(err)
	must(status == 200 && bytes.Equal(again, body), "a repeated request is a replay")
	_, status, _, err = place(keys[1])
	var refused *lmn.GenericOpenAPIError
	must(status == 409 && errors.As(err, &refused), "a second order for the vehicle is refused")
	problem, is := refused.Model().(lmn.ErrorResponse)
	must(is && problem.Error.Code == "duplicate_order", "the refusal is decoded")
	must(problem.Error.Details.GetExistingOrderId() == first.GetId(), "the details are decoded")
	cancelled, _, err := client.OrdersAPI.CancelOrder(ctx, first.GetId()).IdempotencyKey(keys[2]).Execute()
	check(err)
	must(cancelled.Status == "cancelled", "the order is cancelled")
	endpoint := *lmn.NewPutEndpoint("http://127.0.0.1:9/lmn")
	made, _, err := client.WebhooksAPI.PutWebhookEndpoint(ctx).PutEndpoint(endpoint).Execute()
	check(err)
	must(made.Enabled, "the endpoint is set")
	_, _, err = client.WebhooksAPI.DeleteWebhookEndpoint(ctx).IdempotencyKey(keys[3]).Execute()
	check(err)
	fmt.Printf("openapi-generator's Go client placed %s once, and cancelled it\n", first.GetId())
}
