// kustomize-build DIR prints what `kubectl apply --kustomize DIR` applies.
package main

import (
	"log"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	log.SetFlags(0)
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(text)
}
