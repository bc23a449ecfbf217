// csitime SOCKET METHOD: calls csi.v1.Node with each request of standard input, one JSON object a line, one call after
// the other on one connection, and prints the milliseconds of each call.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var messages = map[string]func() (request, response proto.Message){
	"NodePublishVolume": func() (proto.Message, proto.Message) {
		return &csi.NodePublishVolumeRequest{}, &csi.NodePublishVolumeResponse{}
	},
	"NodeUnpublishVolume": func() (proto.Message, proto.Message) {
		return &csi.NodeUnpublishVolumeRequest{}, &csi.NodeUnpublishVolumeResponse{}
	},
	"NodeGetInfo": func() (proto.Message, proto.Message) {
		return &csi.NodeGetInfoRequest{}, &csi.NodeGetInfoResponse{}
	},
}

func main() {
	if len(os.Args) != 3 || messages[os.Args[2]] == nil {
		log.Fatal("usage: csitime SOCKET METHOD < REQUESTS")
	}
	socket, method := os.Args[1], os.Args[2]
	connection, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	check(connection.Invoke(ctx, "/csi.v1.Node/NodeGetInfo", &csi.NodeGetInfoRequest{}, &csi.NodeGetInfoResponse{}))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		request, response := messages[method]()
		check(protojson.Unmarshal(lines.Bytes(), request))
		start := time.Now()
		check(connection.Invoke(ctx, "/csi.v1.Node/"+method, request, response))
		fmt.Printf("%.3f\n", float64(time.Since(start).Microseconds())/1000)
	}
	check(lines.Err())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
