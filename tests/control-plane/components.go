package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	"sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// components are the programs in this binary; os.Args is already theirs.
var components = map[string]func() error{
	"etcd":                    runEtcd,
	"kube-apiserver":          func() error { return runCobra(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() error { return runCobra(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() error { return runCobra(scheduler.NewSchedulerCommand()) },
	"kubectl":                 runKubectl,
	"kwok":                    runKwok,
}

func runCobra(command *cobra.Command) error {
	if code := cli.Run(command); code != 0 {
		os.Exit(code)
	}
	return nil
}

// resetFlags drops the global flags that the other components registered by
// being linked in; kubectl and kwok would fail on, or show, them.
func resetFlags() {
	pflag.CommandLine = pflag.NewFlagSet(os.Args[0], pflag.ContinueOnError)
}

func runKubectl() error {
	resetFlags()
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints as kubectl does, and exits
	}
	return nil
}

func runKwok() error {
	resetFlags()
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ := log.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		return err
	}
	command := kwok.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	return command.ExecuteContext(ctx)
}

// runEtcd is a single etcd that never syncs to disk: a test's cluster is gone
// with the test.
func runEtcd() error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	dir := flags.String("dir", "", "data directory")
	client := flags.String("client", "", "address for clients")
	peer := flags.String("peer", "", "address for peers (there are none)")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	settings := embed.NewConfig()
	settings.Dir = *dir
	settings.LogLevel = "error"
	settings.UnsafeNoFsync = true
	settings.ListenClientUrls = []url.URL{{Scheme: "http", Host: *client}}
	settings.AdvertiseClientUrls = settings.ListenClientUrls
	settings.ListenPeerUrls = []url.URL{{Scheme: "http", Host: *peer}}
	settings.AdvertisePeerUrls = settings.ListenPeerUrls
	settings.InitialCluster = settings.InitialClusterFromName(settings.Name)
	etcd, err := embed.StartEtcd(settings)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	select {
	case <-etcd.Server.StopNotify():
		return errors.New("etcd stopped")
	case err := <-etcd.Err():
		return err
	}
}
